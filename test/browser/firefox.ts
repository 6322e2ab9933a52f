// Finds an installed Firefox with WebGPU and launches it through puppeteer: no npm package brings one.
import { existsSync } from "node:fs";
import puppeteer, { type Browser } from "puppeteer";

const PLACES = ["/usr/bin/firefox", "/usr/bin/firefox-esr", "/Applications/Firefox.app/Contents/MacOS/firefox"];
/** The first release with WebGPU. */
const OLDEST = 141;
const PREFERENCES = {
  "dom.webgpu.enabled": true, // the default on Windows and macOS only
  "gfx.webgpu.ignore-blocklist": true, // CPU adapters are on it
};

/** Headless Firefox: FIREFOX_PATH when set, otherwise the installed one; a text that says why where there is none. */
export async function launchFirefox(): Promise<Browser | string> {
  const executablePath = process.env.FIREFOX_PATH || PLACES.find((place) => existsSync(place));
  if (!executablePath) return "no Firefox is installed";
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    timeout: 120_000,
    protocolTimeout: 600_000,
    extraPrefsFirefox: PREFERENCES,
  });
  const version = await browser.version();
  if (parseInt(version.replace(/^\D*/, ""), 10) >= OLDEST) return browser;
  await browser.close();
  return `${version} has no WebGPU`;
}
