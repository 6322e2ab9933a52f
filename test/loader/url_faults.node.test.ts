// A server of files, without a hub's manners, that breaks off or falls silent: tried again, a few times, then named.
import { describe, expect, test } from "vitest";
import { RepositoryError } from "../../src/loader/errors.js";
import { URLRepository } from "../../src/loader/url_repository.js";
import type { Fault } from "../support/fake_hub_node.js";
import { COMMIT, CONFIG, ID, useHub, WEIGHT } from "../support/hub_sandbox_node.js";

const SIZE = 300_000;
const at = useHub(SIZE);

const always = (fault: Fault) => (): Fault => fault;
const once =
  (fault: Fault) =>
  (n: number): Fault | undefined =>
    n === 0 ? fault : undefined;

interface Row {
  /** Of the n-th request for the bytes in question. */
  fault: (n: number) => Fault | undefined;
  /** Behind the address; none where the bytes come in the end. */
  error?: RegExp;
  requests: number;
}

const ROWS: Record<string, Row> = {
  "cut once": { fault: once({ reset: 300 }), requests: 2 },
  cut: { fault: always({ reset: 300 }), error: /connection to 127.* failed: terminated.*\(3 tries\)/, requests: 3 },
  "ends too early once": { fault: once({ endAt: 300 }), requests: 2 },
  "ends too early": { fault: always({ endAt: 300 }), error: /got 300 bytes instead of \d+.*\(3 tries\)/, requests: 3 },
  "falls silent once": { fault: once({ stall: 300 }), requests: 2 },
  "falls silent": { fault: always({ stall: 300 }), error: /no answer for 0.3 s \(3 tries\)/, requests: 3 },
  "never answers": {
    fault: always({ stall: "before" }),
    requests: 3,
    error: /no answer after 3 tries \(no answer for 0.3 s\).*CORS/,
  },
  "breaks at once": {
    fault: always({ reset: "before" }),
    error: /no answer after 3 tries \(fetch failed/,
    requests: 3,
  },
  "sends more than it says": {
    fault: always({ extra: 10, contentRange: "bytes 0-99/100", endAt: Infinity }),
    requests: 1,
    error: /Content-Range|has more than 100 bytes/,
  },
  "500 and 503": { fault: (n) => [{ status: 500 }, { status: 503 }][n], requests: 3 },
  "503": { fault: always({ status: 503 }), error: /the server answered 503.*\(3 tries\)/, requests: 3 },
};

const open = (name: string): URLRepository =>
  new URLRepository(
    new URL(`${at.hub.cdn}/${ID}/resolve/${COMMIT}`),
    {},
    { timeout: /silent|never/.test(name) ? 300 : 10_000, sleep: async (pause) => void at.pauses.push(pause) },
  );

for (const [name, { fault, error, requests }] of Object.entries(ROWS)) {
  const check = async (read: Promise<Uint8Array>, expected: Uint8Array, file: string): Promise<void> => {
    if (error === undefined) expect(Buffer.from(expected).equals(await read)).toBe(true);
    else {
      await expect(read).rejects.toThrow(error);
      await expect(read).rejects.toThrow(`${at.hub.cdn}/${ID}/resolve/${COMMIT}/${file}: `);
      await expect(read).rejects.toBeInstanceOf(RepositoryError);
    }
    expect(at.hub.seen).toHaveLength(requests);
    expect(at.pauses.length).toBe(requests - 1);
  };

  describe(name, () => {
    test("at the first bytes", async () => {
      at.hub.fault = ({ before }) => fault(before);
      const read = open(name)
        .open(CONFIG)
        .then(async (file) => (await file?.read()) ?? new Uint8Array());
      await check(read, at.files.get(CONFIG) as Uint8Array, CONFIG);
    });

    test("later in the file", async () => {
      const file = await open(name).open(WEIGHT);
      expect(file?.size).toBe(SIZE);
      at.hub.seen.length = 0;
      at.hub.fault = ({ before }) => fault(before);
      const bytes = at.files.get(WEIGHT) as Uint8Array;
      await check(file!.read(100_000, 250_000), bytes.subarray(100_000, 250_000), WEIGHT);
    });
  });
}

test("a signal ends a body that stalls, with its reason", async () => {
  at.hub.fault = () => ({ stall: 300 });
  const controller = new AbortController();
  const reason = new Error("enough");
  const read = open("").open(WEIGHT, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 100);
  await expect(read).rejects.toBe(reason);
  expect(at.hub.seen).toHaveLength(1);
});
