// The compiled file lies one folder deeper (dist/src/loader) than the source (src/loader).
const root = new URL(import.meta.url.includes("/dist/src/") ? "../../../" : "../../", import.meta.url);

/**
 * The address of the small model that ships with the package (64x64 pictures of coloured shapes), for `fromPretrained`:
 * a `file:` URL in Node, an `http(s):` one where the package is served to a browser.
 */
export const EMBEDDED_MODEL: string = new URL("models/shapes/", root).href;
