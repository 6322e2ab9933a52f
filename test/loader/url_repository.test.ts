import { describe, expect, test } from "vitest";
import { readBytes } from "../../src/loader/config.js";
import { openRepository, type Repository } from "../../src/loader/repository.js";
import { URLRepository } from "../../src/loader/url_repository.js";

const SIZE = 200_000;
const content = Uint8Array.from({ length: SIZE }, (_, i) => (i * 7) % 251);

interface Asked {
  url: string;
  range: string | null;
}

/** A repository behind a stand-in for fetch; `answer` gets the address and the range asked for. */
async function served(
  answer: (asked: Asked & { start: number; end: number; count: number }) => Response,
): Promise<{ repository: Repository; asked: Asked[] }> {
  const asked: Asked[] = [];
  const fake = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const range = new Headers(init?.headers).get("range");
    asked.push({ url: String(url), range });
    const [, start, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
    return answer({ url: String(url), range, start: Number(start), end: Number(last) + 1, count: asked.length });
  };
  return { repository: await openRepository("https://host/model", { fetch: fake as typeof fetch }), asked };
}

const partial = (start: number, end: number, size = SIZE): Response =>
  new Response(content.slice(start, Math.min(end, size)), {
    status: 206,
    headers: { "content-range": `bytes ${start}-${Math.min(end, size) - 1}/${size}` },
  });

describe("a repository behind an address", () => {
  test("asks for ranges, and for the first bytes once", async () => {
    const { repository, asked } = await served(({ start, end }) => partial(start, end));
    const file = await repository.open("unet/a b.safetensors");
    expect(file?.size).toBe(SIZE);
    expect(await file?.read(0, 1000)).toEqual(content.slice(0, 1000));
    expect(asked).toEqual([{ url: "https://host/model/unet/a%20b.safetensors", range: "bytes=0-65535" }]);
    expect(await file?.read(70_000, 70_010)).toEqual(content.slice(70_000, 70_010));
    expect(asked[1].range).toBe("bytes=70000-70009");
  });

  test("downloads whole files from a server that ignores ranges, once", async () => {
    const { repository, asked } = await served(() => new Response(content.slice()));
    const file = await repository.open("x.bin");
    expect(file?.size).toBe(SIZE);
    expect(await file?.read(150_000, 150_005)).toEqual(content.slice(150_000, 150_005));
    expect(asked).toHaveLength(1);
  });

  test("takes a small and an empty file", async () => {
    const small = await served(({ start, end }) => partial(start, end, 10));
    expect(await (await small.repository.open("x"))?.read()).toEqual(content.slice(0, 10));
    const empty = await served(() => new Response(null, { status: 416, headers: { "content-range": "bytes */0" } }));
    expect((await empty.repository.open("x"))?.size).toBe(0);
  });

  test("asks for no file that is not in a list of all, and for others where a bundler put them", async () => {
    const asked: string[] = [];
    const fake = async (url: unknown): Promise<Response> => (asked.push(String(url)), partial(0, 10, 10));
    const files = {
      "unet/config.json": () => new URL("https://host/assets/config-1a2b.json"),
      "vae/config.json": () => new URL("data:application/json;base64,eyJhIjoi4oKsIn0="),
      "merges.txt": () => new URL("data:text/plain,a%20%E2%82%AC"),
    };
    const repository = new URLRepository(new URL("https://host/model"), { fetch: fake as typeof fetch, files });
    expect(await repository.open("unet/nothing.json")).toBeNull();
    expect(repository.whyMissing("unet/nothing.json")).toBeUndefined();
    await expect(repository.open("../config.json")).rejects.toThrow('".."');
    expect((await repository.open("unet/config.json"))?.size).toBe(10);
    const text = async (name: string): Promise<string> =>
      new TextDecoder().decode(await (await repository.open(name))?.read());
    expect([await text("vae/config.json"), await text("merges.txt")]).toEqual(['{"a":"€"}', "a €"]);
    expect(asked).toEqual(["https://host/assets/config-1a2b.json"]);
  });

  test("says what to do where a bundler left the model behind, or a CDN gives the script alone", async () => {
    const fetch = async (): Promise<Response> => new Response("no", { status: 404 });
    const files = { "unet/config.json": () => new URL("https://host/assets/config.json") };
    const repository = new URLRepository(new URL("https://host/model"), { fetch, files });
    expect(await repository.open("unet/config.json")).toBeNull();
    expect(repository.whyMissing("unet/config.json")).toMatch(/assets\/config.json answered 404; did the bundler/);
    expect(repository.whyMissing("unet/config.json")).toMatch(
      /a CDN\? There import \S+\/dist\/bundle\/browser\/webgpu-diffusers\.js;/,
    );
  });

  test("knows missing files, also where a page comes instead", async () => {
    const missing = await served(() => new Response("no", { status: 404 }));
    expect(await missing.repository.open("x.json")).toBeNull();
    const page = await served(
      () => new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } }),
    );
    expect(await page.repository.open("x.json")).toBeNull();
    expect(page.repository.whyMissing?.("x.json")).toBe("got an HTML page from https://host/model/x.json");
  });

  test("refuses answers that are not what was asked for", async () => {
    const wrong = await served(() => partial(5, 100));
    await expect(wrong.repository.open("x")).rejects.toThrow(/asked for bytes 0-65535.*Content-Range "bytes 5-99/);
    const none = await served(() => new Response(content.slice(), { status: 206 }));
    await expect(none.repository.open("x")).rejects.toThrow(/does the server expose it to CORS/);
    const cut = await served(
      () => new Response(content.slice(0, 99), { status: 206, headers: { "content-range": `bytes 0-65535/${SIZE}` } }),
    );
    await expect(cut.repository.open("x")).rejects.toThrow(/got 99 bytes instead of 65536/);
    const forbidden = await served(() => new Response("no", { status: 403, statusText: "Forbidden" }));
    await expect(forbidden.repository.open("x")).rejects.toThrow(
      "https://host/model/x: the server answered 403 Forbidden",
    );
  });

  test("notices a file replaced between two reads", async () => {
    const { repository } = await served(({ start, end, count }) => partial(start, end, count === 1 ? SIZE : SIZE - 1));
    const file = await repository.open("x");
    await expect(file!.read(100_000, 100_001)).rejects.toThrow(/had 200000 bytes, now 199999/);
  });

  test("tries again after passing faults, not for ever", async () => {
    const passing = await served(({ start, end, count }) =>
      count === 1 ? new Response("busy", { status: 503 }) : partial(start, end),
    );
    expect((await passing.repository.open("x"))?.size).toBe(SIZE);
    const dead = await served(() => {
      throw new TypeError("fetch failed");
    });
    await expect(dead.repository.open("x")).rejects.toThrow(/no answer after 3 tries \(fetch failed\).*CORS/);
    expect(dead.asked).toHaveLength(3);
  });
});

describe("a text without end", () => {
  const MEGABYTE = 1 << 20;

  /** A body that goes on and on, but not until the tests' process dies of it, and what has become of it. */
  function endless(): { body: ReadableStream<Uint8Array>; state: { sent: number; cancelled: boolean } } {
    const state = { sent: 0, cancelled: false };
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(MEGABYTE).fill(0x20));
        state.sent += MEGABYTE;
        if (state.sent > 64 * MEGABYTE) controller.close();
      },
      cancel: () => void (state.cancelled = true),
    });
    return { body, state };
  }

  test("is not read to the end", async () => {
    for (const name of ["config.json", "tokenizer/merges.txt"]) {
      const { body, state } = endless();
      const { repository, asked } = await served(() => new Response(body));
      await expect(readBytes(repository, name)).rejects.toThrow(
        `https://host/model/${name}: has more than the 8388608 bytes allowed for a text file; is it the right file?`,
      );
      expect(asked).toHaveLength(1);
      expect(state.sent).toBeLessThan(12 * MEGABYTE);
      expect(state.cancelled).toBe(true);
    }
  });

  test("is not read at all where the server says how long it is", async () => {
    const { body, state } = endless();
    const whole = await served(() => new Response(body, { headers: { "content-length": "9000000" } }));
    await expect(readBytes(whole.repository, "config.json")).rejects.toThrow(
      /config.json: has 9000000 bytes, more than the 8388608 allowed for a text file/,
    );
    expect(state.sent).toBeLessThan(3 * MEGABYTE);
    expect(state.cancelled).toBe(true);
    const ranges = await served(({ start, end }) => partial(start, end, 1e12));
    await expect(readBytes(ranges.repository, "config.json")).rejects.toThrow(/has 1000000000000 bytes, more than/);
    expect(ranges.asked).toHaveLength(1);
  });

  test("comes in place of a range of a file whose size was known", async () => {
    const { body, state } = endless();
    const { repository } = await served(({ start, end, count }) =>
      count === 1 ? partial(start, end) : new Response(body),
    );
    const file = await repository.open("x.safetensors");
    await expect(file!.read(100_000, 100_001)).rejects.toThrow(
      /x.safetensors: had 200000 bytes, now more; was it repl/,
    );
    expect(state.cancelled).toBe(true);
  });
});

test("a signal aborts", async () => {
  const abort = new AbortController();
  const repository = await openRepository("https://host/model/", {
    signal: abort.signal,
    fetch: () => Promise.reject(new Error("not reached")),
  });
  abort.abort(new Error("enough"));
  await expect(repository.open("x")).rejects.toThrow("enough");
});

test("a signal given when a file is opened ends its reads, and those of no other file", async () => {
  const abort = new AbortController();
  const { repository } = await served(({ start, end }) => partial(start, end));
  const file = await (await openRepository(repository, { signal: abort.signal })).open("x");
  const other = await repository.open("y");
  abort.abort(new Error("enough"));
  await expect(file!.read(100_000, 100_001)).rejects.toThrow("enough");
  expect(await other?.read(100_000, 100_001)).toEqual(content.slice(100_000, 100_001));
});
