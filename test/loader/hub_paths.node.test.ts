// Wherever a name comes from, nothing is read or written outside the cache.
import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { UNet2DConditionModel } from "../../src/index.js";
import { openHubRepository } from "../../src/loader/hub/hub_repository_node.js";
import { fixturePath } from "../support/files.js";
import { CONFIG, filesBelow, ID, useHub } from "../support/hub_sandbox_node.js";

const at = useHub(1000);

const ESCAPES = [
  "..",
  "../x",
  "../../x",
  "/etc/passwd",
  "a/../../b",
  "./x",
  "a//b",
  "a\\b",
  "\\\\host\\x",
  "C:/x",
  "C:\\x",
  "%2e%2e/x",
  "%2E%2E%2Fx",
  "a\0b",
  "x\ny",
  "x.",
  "x ",
  "nul",
  "CON.json",
  "x".repeat(300),
  "http://host/x",
];
const PLACES: Record<string, (name: string) => Promise<unknown>> = {
  path: async (name) => (await at.open()).open(name),
  subfolder: async (name) =>
    UNet2DConditionModel.fromPretrained(ID, { endpoint: at.hub.url, cacheDir: at.cache, subfolder: name }),
  revision: (revision) => at.open({ revision }),
  id: (id) => openHubRepository(id, { endpoint: at.hub.url, cacheDir: at.cache }),
  "commit of the API": (commit) => {
    at.hub.fault = ({ at: place }) => (place === "api" ? { commit } : undefined);
    return at.open();
  },
  "commit of a file": async (commit) => {
    at.hub.fault = ({ method }) => (method === "HEAD" ? { commit: encodeURI(commit) } : undefined);
    return (await at.open()).open(CONFIG);
  },
  ETag: async (etag) => {
    at.hub.fault = ({ method }) => (method === "HEAD" ? { etag: encodeURI(etag) } : undefined);
    return (await at.open()).open(CONFIG);
  },
  variant: (variant) =>
    UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "unet", variant }),
};
for (const [place, load] of Object.entries(PLACES))
  test(`no ${place} leaves the cache`, async () => {
    for (const name of ESCAPES) {
      const error = await load(name).then(
        () => null,
        (reason: unknown) => reason as Error,
      );
      expect(error, JSON.stringify(name)).toBeInstanceOf(Error);
      expect(error?.name, `${JSON.stringify(name)}: ${error?.message}`).toMatch(/^(RepositoryError|ConfigError)$/);
      at.hub.fault = () => undefined;
    }
    expect([at.outside, path.dirname(at.cache)].map((folder) => readdirSync(folder))).toEqual([["home"], ["cache"]]);
    expect(
      filesBelow(at.cache).filter((name) => !/^(CACHEDIR\.TAG|models--org--tiny\/refs\/main)$/.test(name)),
    ).toEqual([]);
  });
