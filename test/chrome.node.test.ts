// Every shared test once more, in headless Chrome with SwiftShader.
// The run is over before the tests are registered: vitest must know their names, and only the page knows those.
import { asTests } from "./browser/as_tests.js";
import { launchChrome } from "./browser/chromium.js";
import { runInBrowser } from "./browser/run_page.js";

asTests("Chrome", await runInBrowser(launchChrome));
