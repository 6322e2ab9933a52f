/** The suite's page. It needs no bundler: the browser finds the library's two bare imports by the map. */
import { STYLE } from "../report.js";

export const FFLATE = "fflate.js";
export const PREPROCESSOR = "wgsl-preprocessor.js";

export const pageHtml = (): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>webgpu-diffusers: benchmark</title><link rel="icon" href="data:,">
<style>${STYLE}
form { display: flex; flex-wrap: wrap; gap: .75em; align-items: center; } input, select, button { font: inherit; }</style>
<script type="importmap">
{ "imports": { "fflate": "./${FFLATE}", "wgsl-preprocessor/wgsl-preprocessor.js": "./${PREPROCESSOR}" } }
</script>
<script type="module" src="../dist/bench/page.js"></script></head><body>
<h1>webgpu-diffusers: benchmark</h1>
<p>Measures the adapter's limits, then ops of Stable Diffusion 1.5: first whether each is right, then its time. Nothing is
sent anywhere. Keep this tab in front: browsers slow down those behind.</p>
<form id="form">
<label><input type="checkbox" name="quick"> quick: 16 ops, smaller on CPU adapters</label>
<label><input type="checkbox" name="tune"> tune each op first</label>
<label>type <select name="dtype"><option value="">both</option><option>float32</option><option>float16</option></select></label>
<label>only rows with <input name="filter" placeholder="e.g. conv2d 3x3"></label>
<button id="start" disabled>Run</button><button id="stop" type="button" disabled>Stop</button>
<button id="json" type="button" disabled>Save JSON lines</button><button id="html" type="button" disabled>Save report</button>
</form>
<p id="status" role="status">Loading …</p>
<div id="results"></div>
</body></html>
`;
