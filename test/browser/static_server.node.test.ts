import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStaticServer } from "../../scripts/static_server.mjs";

describe("the static server", () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "static-server-"));
  let server: Awaited<ReturnType<typeof startStaticServer>>;
  beforeAll(async () => {
    mkdirSync(path.join(folder, "root"));
    writeFileSync(path.join(folder, "secret.txt"), "secret");
    writeFileSync(path.join(folder, "root", "a b.js"), "0123456789");
    writeFileSync(path.join(folder, "root", "empty.json"), "");
    writeFileSync(path.join(folder, "root", ".hidden"), "hidden");
    symlinkSync(path.join(folder, "secret.txt"), path.join(folder, "root", "link.txt"));
    server = await startStaticServer({ root: path.join(folder, "root"), virtual: new Map([["/v/x.js", "made"]]) });
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  /** Unlike fetch, sends the path as it is. */
  const get = (
    url: string,
    range?: string,
  ): Promise<{ status?: number; type?: string; range?: string; text: string }> =>
    new Promise((resolve, reject) => {
      const { port } = new URL(server.origin);
      const options = { host: "127.0.0.1", port, path: url, headers: range ? { range } : {} };
      const request = http.get(options, async (response) => {
        const { "content-type": type, "content-range": contentRange } = response.headers;
        let text = "";
        for await (const chunk of response) text += String(chunk);
        resolve({ status: response.statusCode, type, range: contentRange, text });
      });
      request.on("error", reject);
    });

  test("gives files, folders' index and virtual files their types", async () => {
    expect(await get("/a%20b.js")).toMatchObject({
      status: 200,
      type: "text/javascript; charset=utf-8",
      text: "0123456789",
    });
    expect(await get("/v/x.js?query")).toMatchObject({ status: 200, text: "made" });
    expect(await get("/empty.json")).toMatchObject({ status: 200, text: "" });
    expect(await get("/")).toMatchObject({ status: 404 });
  });

  test("answers ranges", async () => {
    expect(await get("/a%20b.js", "bytes=2-4")).toMatchObject({ status: 206, range: "bytes 2-4/10", text: "234" });
    expect(await get("/a%20b.js", "bytes=7-")).toMatchObject({ status: 206, range: "bytes 7-9/10", text: "789" });
    expect(await get("/a%20b.js", "bytes=-3")).toMatchObject({ status: 206, range: "bytes 7-9/10", text: "789" });
    expect(await get("/a%20b.js", "bytes=5-99")).toMatchObject({ status: 206, range: "bytes 5-9/10", text: "56789" });
    expect(await get("/a%20b.js", "bytes=10-")).toMatchObject({ status: 416, range: "bytes */10" });
  });

  test("serves nothing outside the folder", async () => {
    const escapes = [
      "/../secret.txt",
      "/%2e%2e/secret.txt",
      "/..%2fsecret.txt",
      "/x/../../secret.txt",
      "/..\\secret.txt",
    ];
    for (const url of [...escapes, "/link.txt", "/.hidden", "/%00", "/%E0%A4%A", "//etc/passwd"]) {
      const { status, text } = await get(url);
      expect([400, 404], url).toContain(status);
      expect(text, url).not.toMatch(/secret|hidden|root:/);
    }
  });
});
