// Every fault of a hub, of its CDN and of the way there, for a config and for a weight file: either the file comes all the
// same, or the error names file and fault. Requests are bounded, and nothing wrong is left in the cache.
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Fault, Seen } from "../support/fake_hub_node.js";
import { COMMIT, CONFIG, filesBelow, ID, sha256, useHub, WEIGHT } from "../support/hub_sandbox_node.js";

const SIZE = 1_500_000;
/** Milliseconds that count as silence: few only where it matters, because this machine may be busy. */
const timeoutOf = (name: string): number => (name.includes("silence") ? 150 : 10_000);
const TRIES = 5;
const at = useHub(SIZE);

interface Row {
  /** "head": the request for hash and size; "get": the hub's answer to a GET; "bytes": the answer that has the bytes. */
  phase: "head" | "get" | "bytes" | "api";
  /** Of the n-th such request; `half` is half of the file's size. */
  fault: (n: number, half: number) => Fault | undefined;
  /** "file": it comes in the end; "absent": there is none; else the error, behind the file's name. */
  expected: "file" | "absent" | RegExp;
  /** Requests of this phase. */
  requests?: number;
  /** Sum of the pauses in seconds. */
  pauses?: number;
}

const always = (fault: Fault) => (): Fault => fault;
const first =
  (fault: Fault) =>
  (n: number): Fault | undefined =>
    n === 0 ? fault : undefined;
const status = (code: number, headers: Record<string, string> = {}): Fault => ({ status: code, headers });
const coded = (code: number, name: string): Fault => status(code, { "x-error-code": name });
const inSeconds = (seconds: number): string => new Date(Date.now() + 1000 * seconds).toUTCString();
/** The first answer breaks at half of the file, the next has this fault. */
const thenOnResume =
  (fault: Fault) =>
  (n: number, half: number): Fault | undefined =>
    n === 0 ? { reset: half } : n === 1 ? fault : undefined;

const HTML: Fault = status(200, { "content-type": "text/html; charset=utf-8" });
HTML.body = "<!doctype html><title>Log in</title>";

/** What a hub can answer wherever it is asked. */
const ANSWERS: Record<string, Omit<Row, "phase">> = {
  "400": { fault: always(status(400)), expected: /answered 400: the request is refused/, requests: 1 },
  "401 without token": {
    fault: always(status(401)),
    expected: /answered 401: there is no such repository, or it is priv/,
  },
  "403": { fault: always(status(403)), expected: /answered 403: access is denied; give a token/, requests: 1 },
  "403 gated": { fault: always(coded(403, "GatedRepo")), expected: /gated; accept its conditions at .*org\/tiny/ },
  "404 repository": { fault: always(coded(404, "RepoNotFound")), expected: /there is no such repository/, requests: 1 },
  "404 revision": { fault: always(coded(404, "RevisionNotFound")), expected: /there is no such revision/, requests: 1 },
  "408, 425 and 429 once each": {
    fault: (n) => (n < 3 ? status([408, 425, 429][n]) : undefined),
    expected: "file" as const,
    requests: 4,
    pauses: 7,
  },
  "408 for ever": {
    fault: always(status(408)),
    expected: /answered 408.*\(5 tries\); try again later/,
    requests: TRIES,
  },
  "409": { fault: always(status(409)), expected: /answered 409/, requests: 1 },
  "429 for ever": {
    fault: always(status(429)),
    expected: /answered 429: too many requests \(5/,
    requests: TRIES,
    pauses: 15,
  },
  "429, Retry-After 7": { fault: first(status(429, { "retry-after": "7" })), expected: "file", pauses: 7 },
  "429, Retry-After date": { fault: first(status(429, { "retry-after": inSeconds(20) })), expected: "file" },
  "429, RateLimit t=9": { fault: first(status(429, { ratelimit: '"api";r=0;t=9' })), expected: "file", pauses: 9 },
  "500, RateLimit t=999": { fault: first(status(500, { ratelimit: '"api";r=0;t=999' })), expected: "file", pauses: 1 },
  "429, absurd Retry-After": {
    fault: always(status(429, { "retry-after": "86400" })),
    expected: /429.*it asks to wait 86400 s/,
    requests: 1,
    pauses: 0,
  },
  "429, meaningless Retry-After": { fault: first(status(429, { "retry-after": "soon" })), expected: "file", pauses: 1 },
  "500 for ever": {
    fault: always(status(500)),
    expected: /answered 500: it is in trouble \(5 tries\)/,
    requests: TRIES,
  },
  "500, 502, 503, 504": {
    fault: (n) => (n < 4 ? status([500, 502, 503, 504][n]) : undefined),
    expected: "file" as const,
    requests: 5,
    pauses: 15,
  },
  "503 for ever": { fault: always(status(503)), expected: /answered 503/, requests: TRIES },
  "reset once": { fault: first({ reset: "before" }), expected: "file", requests: 2, pauses: 1 },
  "reset for ever": { fault: always({ reset: "before" }), expected: /the connection to 127.* failed/, requests: TRIES },
  "silence once": { fault: first({ stall: "before" }), expected: "file" },
  "silence for ever": {
    fault: always({ stall: "before" }),
    expected: /no answer for 0.15 s \(5 tries\)/,
    requests: TRIES,
  },
  "redirect once, as for a renamed repository": { fault: first(status(307, { location: "" })), expected: "file" },
  "redirect loop": { fault: always(status(302, { location: "" })), expected: /more than 8 redirects/ },
  "redirect to a file": { fault: always(status(302, { location: "file:///etc/x" })), expected: /redirects to "file:/ },
  "redirect to nowhere": { fault: always(status(302)), expected: /answered 302: a redirect without an address/ },
};

const OTHER = "f".repeat(64);
const ROWS: Record<string, Row> = {
  ...prefixed("head", ANSWERS),
  ...prefixed("bytes", ANSWERS),
  "head: 404 entry": { phase: "head", fault: always(coded(404, "EntryNotFound")), expected: "absent", requests: 1 },
  "head: 404 without a code": { phase: "head", fault: always(status(404)), expected: "absent", requests: 1 },
  "head: 416": { phase: "head", fault: always(status(416)), expected: /answered 416: it does not have the bytes/ },
  "head: a page": {
    phase: "head",
    fault: always(HTML),
    expected: /names no commit .*log-in \(captive portal, proxy\)/,
  },
  "head: no commit": { phase: "head", fault: always({ commit: "" }), expected: /names no commit \(X-Repo-Commit\)/ },
  "head: other commit": { phase: "head", fault: always({ commit: "d".repeat(40) }), expected: /answered with d{40}/ },
  "head: commit a path": {
    phase: "head",
    fault: always({ commit: "../../x" }),
    expected: /commit "..\/..\/x", which is/,
  },
  "head: no ETag": { phase: "head", fault: always({ etag: "" }), expected: /ETag .*could not be verified/ },
  "head: ETag a path": { phase: "head", fault: always({ etag: "../../../x" }), expected: /ETag .*x.*no SHA-256/ },
  "head: ETag a name": { phase: "head", fault: always({ etag: "CON" }), expected: /ETag .*CON.*no SHA-256/ },
  "head: ETag of an S3": { phase: "head", fault: always({ etag: `${"a".repeat(32)}-2` }), expected: /no SHA-256/ },
  "head: other ETag": { phase: "head", fault: always({ etag: OTHER }), expected: /has changed on the server \(hash / },
  "head: size no number": {
    phase: "head" as const,
    expected: /gives the file's size as "9e9"/,
    fault: always(status(200, { "x-repo-commit": COMMIT, "x-linked-etag": OTHER, "x-linked-size": "9e9" })),
  },
  "head: size beyond the disk": {
    phase: "head" as const,
    expected:
      /needs 9000000000000000 bytes on the disk of .*are free|has 9000000000000000 bytes, more than the 8388608/,
    fault: always(
      status(200, { "x-repo-commit": COMMIT, "x-linked-etag": OTHER, "x-linked-size": "9".padEnd(16, "0") }),
    ),
  },
  "head: wrong size": {
    phase: "head" as const,
    expected: /the server sends \d+ bytes, the hub names 77 \(5 tries\)/,
    fault: always({ linkedSize: 77 }),
  },
  "get: changed": { phase: "get", fault: always({ etag: OTHER }), expected: /has changed on the server \(hash f{64}/ },
  "get: changed to another large file": {
    phase: "get" as const,
    expected: /has changed on the server/,
    fault: always(status(200, { "x-linked-etag": `"${OTHER}"` })),
  },
  "bytes: broken at half once": { phase: "bytes", fault: (n, half) => (n ? {} : { reset: half }), expected: "file" },
  "bytes: broken at half each time": {
    phase: "bytes" as const,
    requests: 3,
    expected: "file" as const,
    fault: (n, half) => (n < 2 ? { reset: Math.ceil(half * 0.9) } : undefined),
  },
  "bytes: broken at the first byte": {
    phase: "bytes",
    fault: always({ reset: 1 }),
    expected: /failed|cut/,
    requests: TRIES,
  },
  "bytes: silence at half once": { phase: "bytes", fault: (n, half) => (n ? {} : { stall: half }), expected: "file" },
  "bytes: silence at the first byte": { phase: "bytes", fault: always({ stall: 1 }), expected: /no answer for 0.15 s/ },
  "bytes: ends properly at half once": {
    phase: "bytes",
    fault: (n, half) => (n ? {} : { endAt: half }),
    expected: "file",
  },
  "bytes: ends properly at byte 9": {
    phase: "bytes",
    fault: always({ endAt: 9 }),
    expected: /was cut at \d+ of \d+ bytes/,
  },
  "bytes: empty": { phase: "bytes", fault: always({ endAt: 0 }), expected: /cut at 0 of/, requests: TRIES },
  "bytes: 10 more": {
    phase: "bytes",
    fault: always({ extra: 10 }),
    expected: /the server sends \d+ bytes, the hub names/,
  },
  "bytes: 10 more, unannounced": {
    phase: "bytes" as const,
    expected: /sends more than the \d+ bytes that the file has/,
    requests: 1,
    fault: always({ extra: 10, endAt: Infinity }),
  },
  "bytes: a byte flipped once": { phase: "bytes", fault: first({ flip: 100 }), expected: "file", requests: 2 },
  "bytes: a byte flipped": {
    phase: "bytes" as const,
    requests: 2,
    fault: always({ flip: 100 }),
    expected: /not those that the hub names.*expected [0-9a-f]+ \(fetched twice\)/,
  },
  "bytes: a byte flipped behind a break": {
    phase: "bytes",
    fault: thenOnResume({ flip: 0, ignoreRange: true }),
    expected: "file",
  },
  "bytes: a page": {
    phase: "bytes",
    fault: always(HTML),
    expected: /answered with an HTML page; .*captive portal/,
    requests: 1,
  },
  "bytes: resumed by the whole file": {
    phase: "bytes",
    fault: thenOnResume({ ignoreRange: true }),
    expected: "file",
    requests: 2,
  },
  "bytes: resumed by a page": { phase: "bytes", fault: thenOnResume(HTML), expected: /HTML page/, requests: 2 },
  "bytes: resumed by 416": { phase: "bytes", fault: thenOnResume(status(416)), expected: "file", requests: 3 },
  "bytes: resumed elsewhere": {
    phase: "bytes" as const,
    requests: 2,
    expected: /asked for bytes from \d+ on, .*Content-Range "bytes 7-9\/10"/,
    fault: thenOnResume({ contentRange: "bytes 7-9/10" }),
  },
  "bytes: resumed compressed": {
    phase: "bytes",
    fault: thenOnResume({ gzip: true }),
    expected: /asked for bytes from/,
  },
  "bytes: 206 that nobody asked for": {
    phase: "bytes" as const,
    expected: /asked for the file, the server answered with Content-Range "\(none\)"/,
    fault: always({ status: 206, body: "x" }),
  },
  "bytes: compressed": { phase: "bytes", fault: always({ gzip: true }), expected: "file", requests: 1 },
  "bytes: no length": { phase: "bytes", fault: always({ endAt: Infinity }), expected: "file", requests: 1 },
  "bytes: slow": { phase: "bytes", fault: always({ pause: 5 }), expected: "file", requests: 1 },
  "bytes: 404 of the CDN": {
    phase: "bytes",
    fault: always(status(404)),
    expected: /answered 404: not found/,
    requests: 1,
  },
};

function prefixed(phase: Row["phase"], rows: Record<string, Omit<Row, "phase">>): Record<string, Row> {
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [`${phase}: ${name}`, { ...row, phase }]));
}

/** Whether a request is of the row's phase. The bytes of configs come from the hub, those of weights from the CDN. */
function isOf(phase: Row["phase"], file: string, seen: Seen): boolean {
  if (phase === "api") return seen.at === "api";
  if (phase === "head") return seen.at === "hub" && seen.method === "HEAD";
  const place = phase === "bytes" && file === WEIGHT ? "cdn" : "hub";
  return seen.at === place && seen.method === "GET";
}

/** A redirect to "" means to where the request came from. */
function looped(fault: Fault | undefined, seen: Seen): Fault | undefined {
  if (fault?.headers?.location !== "") return fault;
  const base = seen.at === "cdn" ? at.hub.cdn : at.hub.url;
  return { ...fault, headers: { location: `${base}/${ID}/resolve/${COMMIT}/${seen.path}` } };
}

for (const [kind, file] of Object.entries({ config: CONFIG, weight: WEIGHT }))
  describe(kind, () => {
    for (const [name, row] of Object.entries(ROWS))
      test(name, async () => {
        const bytes = at.files.get(file) as Uint8Array;
        at.hub.fault = (seen) =>
          isOf(row.phase, file, seen) ? looped(row.fault(seen.before, bytes.length >> 1), seen) : undefined;
        const repository = await at.open({}, timeoutOf(name));
        const load = repository.open(file);
        const hash = path.join("blobs", "");
        if (row.expected === "file") {
          const opened = await load;
          expect(sha256((await opened?.read()) as Uint8Array)).toBe(sha256(bytes));
        } else if (row.expected === "absent") {
          expect(await load).toBeNull();
        } else {
          await expect(load).rejects.toThrow(row.expected);
          await expect(load).rejects.toThrow(`${file} of ${ID}: `);
        }
        const requests = at.hub.seen.filter((seen) => isOf(row.phase, file, seen)).length;
        if (row.requests !== undefined) expect(requests).toBe(row.requests);
        expect(requests).toBeLessThan(10);
        if (row.pauses !== undefined) expect(at.pauses.reduce((a, b) => a + b, 0)).toBe(1000 * row.pauses);
        // Left over: the right file, the right part of it, or nothing.
        const left = filesBelow(at.cache).filter((name) => name.includes(hash));
        expect(left.length).toBeLessThan(2);
        for (const name of left) {
          const found = readFileSync(path.join(at.cache, name));
          if (row.expected === "file") expect(sha256(found)).toBe(sha256(bytes));
          else expect(name.endsWith(".partial") && found.equals(bytes.subarray(0, found.length))).toBe(true);
        }
        expect(filesBelow(at.cache).filter((name) => /\.locks|tmp$/.test(name))).toEqual([]);
        if (row.expected === "absent" || row.expected === "file") return;
        // The next run, with the fault gone, ends well.
        at.hub.fault = () => undefined;
        const later = await (await at.open()).open(file);
        expect(sha256((await later?.read()) as Uint8Array)).toBe(sha256(bytes));
      });
  });

test("a text without end, whose length the hub does not say, fills no disk", async () => {
  at.hub.fault = ({ at }) => (at === "hub" ? { extra: 9 << 20, endAt: Infinity } : undefined);
  const load = (await at.open()).open(CONFIG);
  await expect(load).rejects.toThrow(/^unet\/config.json of org\/tiny: has .*8388608.* allowed for a text file/);
  expect(filesBelow(at.cache).filter((name) => name.includes("blobs"))).toEqual([]);
});

describe("the commit of a revision", () => {
  const rows: Record<string, Omit<Row, "phase">> = {
    ...ANSWERS,
    "JSON cut once": { fault: first({ cutJSON: 50 }), expected: "file", requests: 2 },
    "JSON cut": { fault: always({ cutJSON: 50 }), expected: /JSON is broken or cut .*\(5 tries\)/, requests: TRIES },
    "a page": { fault: always(HTML), expected: /answered with a page instead of JSON/, requests: 1 },
    "a path": { fault: always({ commit: "../../x" }), expected: /names the commit "..\/..\/x", which is not 40 hex/ },
    "no object": {
      fault: always({ status: 200, body: "null" }),
      expected: /the server answered with JSON that is no object/,
    },
    "no commit": { fault: always({ status: 200, body: "{}" }), expected: /names the commit undefined/ },
    endless: { fault: always({ status: 200, body: "[".repeat(9 << 20) }), expected: /more than 8388608 bytes/ },
  };
  for (const [name, row] of Object.entries(rows))
    test(name, async () => {
      at.hub.fault = (seen) => {
        if (seen.at !== "api") return undefined;
        const fault = row.fault(seen.before, 10);
        const location = `${at.hub.url}/api/models/${ID}/revision/main`;
        return fault?.headers?.location === "" ? { ...fault, headers: { location } } : fault;
      };
      const opened = at.open({}, timeoutOf(name));
      if (row.expected === "file") expect((await opened).name).toBe(ID);
      else {
        await expect(opened).rejects.toThrow(row.expected as RegExp);
        await expect(opened).rejects.toThrow(`${ID} at revision main: `);
      }
      if (row.requests !== undefined) expect(at.hub.seen).toHaveLength(row.requests);
      expect(filesBelow(at.cache)).toEqual([]);
    });
});
