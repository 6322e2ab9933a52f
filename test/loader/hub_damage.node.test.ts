// Files in the cache that are not what the hub names: left by other programs, or changed since. None of them is used.
import { chmodSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { RepositoryError } from "../../src/loader/errors.js";
import { hubHash } from "../support/fake_hub_node.js";
import { COMMIT, CONFIG, ID, useHub, WEIGHT } from "../support/hub_sandbox_node.js";

const SIZE = 300_000;
const at = useHub(SIZE);
const FOLDER = "models--org--tiny";
const bytesOf = (file: string): Uint8Array => at.files.get(file) as Uint8Array;
const blobOf = (file: string): string => path.join(at.cache, FOLDER, "blobs", hubHash(file, bytesOf(file)));
const offline = { localFilesOnly: true };

function flipped(bytes: Uint8Array): Uint8Array {
  const other = Uint8Array.from(bytes);
  other[other.length >> 1] ^= 1;
  return other;
}

const DAMAGES: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  "with a byte flipped": flipped,
  "cut to 100 bytes": (bytes) => bytes.subarray(0, 100),
  emptied: () => new Uint8Array(),
  "with a byte more": (bytes) => Buffer.concat([bytes, new Uint8Array(1)]),
};

for (const file of [CONFIG, WEIGHT])
  describe(file, () => {
    const expectRight = async (): Promise<void> => {
      const opened = await (await at.open()).open(file);
      expect(Buffer.from(bytesOf(file)).equals((await opened?.read()) as Uint8Array)).toBe(true);
      expect(Buffer.from(bytesOf(file)).equals(readFileSync(blobOf(file)))).toBe(true);
    };
    const leave = (bytes: Uint8Array): void => {
      mkdirSync(path.dirname(blobOf(file)), { recursive: true });
      writeFileSync(blobOf(file), bytes);
    };

    test("left by another program and right: linked, not downloaded", async () => {
      leave(bytesOf(file));
      await expectRight();
      expect(at.hub.bytes()).toBe(0);
    });

    for (const [name, damage] of Object.entries(DAMAGES)) {
      test(`left by another program, ${name}: downloaded`, async () => {
        leave(damage(bytesOf(file)));
        await expectRight();
        expect(at.hub.bytes()).toBe(bytesOf(file).length);
      });

      test(`linked, then ${name}: downloaded again, refused without the network`, async () => {
        await (await at.open()).open(file);
        leave(damage(bytesOf(file)));
        await expect((await at.open(offline)).open(file)).rejects.toThrow(
          new RegExp(
            `^${file} of ${ID}: the cached file .*${COMMIT}/${file} is damaged .*localFilesOnly is set; load it once`,
          ),
        );
        at.hub.seen.length = 0;
        const repository = await at.open();
        expect(await repository.has?.(file)).toBe(true);
        await expectRight();
        expect(at.hub.bytes()).toBe(bytesOf(file).length);
      });
    }
  });

test("a cached file of another user is named, with what to do", async () => {
  for (const file of [CONFIG, WEIGHT]) {
    await (await at.open()).open(file);
    chmodSync(blobOf(file), 0o000);
    chmodSync(at.outside, 0o755);
    const repository = await at.open(offline);
    const isRoot = process.geteuid?.() === 0; // who reads everything
    if (isRoot) process.seteuid?.(65_534);
    try {
      await expect(repository.open(file)).rejects.toThrow(
        new RegExp(
          `^cached file .*${COMMIT}/${file}: cannot be read: EACCES.*; let this user read it .*cacheDir, HF_H`,
        ),
      );
      await expect(repository.open(file)).rejects.toBeInstanceOf(RepositoryError);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  }
});

test("linked weights too large to be hashed at every load have the length that their header gives", async () => {
  const size = 80 << 20;
  const header = JSON.stringify({ x: { dtype: "U8", shape: [size], data_offsets: [0, size] } });
  const start = Buffer.concat([Buffer.from(BigUint64Array.of(BigInt(header.length)).buffer), Buffer.from(header)]);
  const [blob, link] = ["blobs/" + "e".repeat(64), `snapshots/${COMMIT}/${WEIGHT}`].map((name) =>
    path.join(at.cache, FOLDER, name),
  );
  for (const name of [blob, link]) mkdirSync(path.dirname(name), { recursive: true });
  writeFileSync(blob, start);
  symlinkSync(blob, link);
  const options = { ...offline, revision: COMMIT };
  truncateSync(blob, start.length + size);
  expect((await (await at.open(options)).open(WEIGHT))?.size).toBe(start.length + size);
  truncateSync(blob, start.length + size - 1);
  await expect((await at.open(options)).open(WEIGHT)).rejects.toThrow(/is damaged \(.*the file is cut.*localFilesOnly/);
});
