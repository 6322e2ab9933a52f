import { describe, expect, test } from "vitest";
import { CLIPTokenizer } from "../../src/loader/tokenizer/clip_tokenizer.js";
import { EMBEDDED_MODEL } from "../../src/loader/embedded.js";
import { checkPath, joinPath } from "../../src/loader/paths.js";
import { openRepository, readJSON, type Repository } from "../../src/loader/repository.js";
import { DDIMScheduler, FlaxDDIMScheduler } from "../../src/schedulers/index.js";
import { fixturePath, readFixture } from "../support/files.js";

describe("paths", () => {
  test("a path stays inside the repository", () => {
    const good = [
      "config.json",
      "unet/config.json",
      "a/b/c-d_e.f16.safetensors",
      "...a",
      ".gitattributes",
      "é.json",
      "100%.json",
    ];
    for (const path of good) expect(checkPath(path)).toBe(path);
    const bad = [
      ["", "..", ".", "../x", "a/../b", "a/..", "./a", "/etc/passwd", "//server/share", "a//b", "a/"],
      ["a\\b", "..\\x", "C:/x", "c:x", "file:///x", "a\0b", "a\nb", "%2e%2e/x", "a%2Fb", "%5c", "x.", "x ", "a./b"],
      ["con", "NUL", "aux.json", "a/COM1.txt", "n".repeat(256), "a/".repeat(600) + "b"],
    ].flat();
    for (const path of bad) expect(() => checkPath(path)).toThrow(/^repository path /);
  });

  test("a subfolder may be empty, and cannot leave either", () => {
    expect(joinPath(undefined, "config.json")).toBe("config.json");
    expect(joinPath("", "config.json")).toBe("config.json");
    expect(joinPath("unet/", "config.json")).toBe("unet/config.json");
    expect(() => joinPath("../unet", "config.json")).toThrow(/"\.\."/);
    expect(() => joinPath("/unet", "config.json")).toThrow(/absolute/);
  });
});

describe("openRepository", () => {
  test("reads files of a folder, whole and in ranges", async () => {
    const repository = await openRepository(fixturePath("models/tokenizer/vocab-2000"));
    const whole = await readFixture("models/tokenizer/vocab-2000/merges.txt");
    const file = await repository.open("merges.txt");
    expect(file?.size).toBe(whole.length);
    expect((await file?.read())?.length).toBe(whole.length);
    expect(await file?.read(10, 20)).toEqual(whole.slice(10, 20));
    expect(await file?.read(whole.length - 5000)).toEqual(whole.slice(-5000));
    expect(await file?.read(5, 5)).toEqual(new Uint8Array(0));
    expect((await file?.read(3, 7))?.byteOffset).toBe(0);
    await expect(file!.read(0, whole.length + 1)).rejects.toThrow(/outside the file/);
    await expect(file!.read(-1, 1)).rejects.toThrow(/outside the file/);
    await expect(file!.read(2, 1)).rejects.toThrow(/outside the file/);
  });

  test("gives null for a missing file and refuses to leave the folder", async () => {
    const repository = await openRepository(fixturePath("models/tokenizer/vocab-2000"));
    expect(await repository.open("nothing.json")).toBeNull();
    expect(await repository.open("vocab.json/x")).toBeNull();
    await expect(repository.open("../models/tokenizer/tiny-vocab.json")).rejects.toThrow(/"\.\."/);
  });

  test("opens the embedded model", async () => {
    const index = await readJSON(await openRepository(EMBEDDED_MODEL), "model_index.json");
    expect(index._class_name).toBe("StableDiffusionPipeline");
    expect((await readJSON(await openRepository(new URL(EMBEDDED_MODEL)), "unet/config.json"))._class_name).toBe(
      "UNet2DConditionModel",
    );
  });

  test("passes a Repository through", async () => {
    const own: Repository = { name: "own", open: async () => null };
    expect(await openRepository(own)).toBe(own);
  });

  test("every kind of repository rejects with the reason of an aborted signal", async () => {
    const reason = new Error("enough");
    const aborted = { signal: AbortSignal.abort(reason) };
    const own: Repository = { name: "own", open: async () => null };
    for (const source of [fixturePath("models/tokenizer/vocab-2000"), EMBEDDED_MODEL, "gpt2", "http://host/x/", own]) {
      await expect(openRepository(source, aborted)).rejects.toBe(reason);
      await expect(CLIPTokenizer.fromPretrained(source, aborted)).rejects.toBe(reason);
    }
    for (const source of [fixturePath("models/tokenizer/vocab-2000"), EMBEDDED_MODEL, "http://host/x/", own]) {
      const controller = new AbortController();
      const repository = await openRepository(source, { signal: controller.signal });
      controller.abort(reason);
      await expect(repository.open("vocab.json")).rejects.toBe(reason);
      await expect(readJSON(repository, "vocab.json")).rejects.toBe(reason);
    }
  });

  test("puts a Repository under one more signal, which its methods get", async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const given: (AbortSignal | undefined)[] = [];
    const own: Repository = {
      name: "own",
      isLocal: true,
      whyMissing: (path) => `no ${path}`,
      open: async (_, options) => (given.push(options?.signal), null),
      has: async (_, options) => (given.push(options?.signal), true),
    };
    const once = await openRepository(own, { signal: first.signal });
    expect([once.name, once.isLocal, once.whyMissing?.("x")]).toEqual(["own", true, "no x"]);
    await once.open("x");
    expect(given.pop()).toBe(first.signal);
    const twice = await openRepository(once, { signal: second.signal });
    expect(await twice.has?.("x")).toBe(true);
    await twice.open("x");
    expect(given.map((signal) => signal?.aborted)).toEqual([false, false]);
    second.abort(new Error("enough"));
    expect(given.map((signal) => signal?.reason as unknown)).toEqual(Array(2).fill(second.signal.reason));
    await expect(twice.has?.("x")).rejects.toThrow("enough");
    expect(await once.open("x")).toBeNull(); // the load that failed takes the repository from nobody
  });

  test("asks the hub for what looks like an id on it, and is no folder", async () => {
    for (const id of ["stable-diffusion-v1-5/stable-diffusion-v1-5", "google/ddpm-cifar10-32", "gpt2"]) {
      const asked: string[] = [];
      const fetch = async (url: string | URL | Request): Promise<Response> => {
        asked.push(String(url));
        return new Response(null, { status: 404, headers: { "x-error-code": "RepoNotFound" } });
      };
      const load = openRepository(id, { fetch, token: false, endpoint: "https://hub.test" });
      await expect(load).rejects.toThrow(
        `${id} at revision main: the server answered 404: there is no such repository`,
      );
      expect(asked).toHaveLength(1);
      expect(asked[0]).toContain(`https://hub.test/api/models/${id}/revision/main?`);
    }
  });

  test("names what it cannot open", async () => {
    await expect(openRepository("./no/such/folder")).rejects.toThrow(/^repository "\.\/no\/such\/folder": /);
    await expect(openRepository("ftp://host/x/")).rejects.toThrow(/cannot read ftp: addresses/);
    await expect(openRepository("http://")).rejects.toThrow(/no valid address/);
    await expect(openRepository("a\0b")).rejects.toThrow(/NUL/);
    await expect(openRepository("https://host/x?token=1")).rejects.toThrow(/no "\?"/);
    await expect(openRepository(5 as unknown as string)).rejects.toThrow(/got 5/);
  });

  test("refuses a signal that is none, and a callback that is none", async () => {
    const open = (options: object): Promise<Repository> => openRepository(EMBEDDED_MODEL, options);
    await expect(open({ signal: new AbortController() })).rejects.toThrow(
      "signal must be an AbortSignal, of an AbortController its .signal, got AbortController",
    );
    await expect(open({ progressCallback: 5 })).rejects.toThrow("progressCallback must be a function, got 5");
  });
});

test("a signal that is aborted already ends every kind of load, local ones too", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  const held: Repository = { name: "held", open: () => Promise.reject(new Error("must not be opened")) };
  for (const source of [fixturePath("models/repos/sd15"), held, EMBEDDED_MODEL, "owner/name"]) {
    await expect(openRepository(source, { signal })).rejects.toBe(reason);
    await expect(DDIMScheduler.fromPretrained(source, { subfolder: "scheduler", signal })).rejects.toBe(reason);
    await expect(FlaxDDIMScheduler.fromPretrained(source, { subfolder: "scheduler", signal })).rejects.toBe(reason);
    await expect(CLIPTokenizer.fromPretrained(source, { subfolder: "tokenizer", signal })).rejects.toBe(reason);
  }
});
