import { fileURLToPath } from "node:url";
import { test } from "vitest";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { bundleTests, sharedTests } from "../chrome/bundle.js";
import { launchChrome } from "../chrome/chromium.js";
test("chrome", { timeout: 500000 }, async () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const mine = sharedTests(root).filter((f) => /test\/schedulers\/|dynamic_threshold|per_sample/.test(f));
  const server = await startStaticServer({ root, virtual: await bundleTests(root, mine) });
  const browser = await launchChrome();
  const page = await browser.newPage();
  const per = new Map<string, number>(); const bad: string[] = []; let n = 0;
  page.on("pageerror", (e) => console.log("PAGEERR", String(e)));
  await new Promise<void>((ok) => {
    setTimeout(ok, 400000);
    void page.exposeFunction("reportToNode", (m: { type: string; text?: string; result?: { name: string; state: string; text?: string; milliseconds: number } }) => {
      if (m.type === "result") { n++; const r = m.result!; const f = r.name.split(">")[0]; per.set(f, (per.get(f) ?? 0) + r.milliseconds); if (r.state === "failed") bad.push(r.name + ": " + r.text?.slice(0, 300)); }
      if (m.type === "end" || m.type === "broken") { console.log(m); ok(); }
    }).then(() => page.goto(`${server.origin}/test/chrome/index.html`));
  });
  console.log(n, bad, [...per].map(([f, t]) => `${f} ${Math.round(t)}`).join("\n"));
  await browser.close(); await server.close();
});
