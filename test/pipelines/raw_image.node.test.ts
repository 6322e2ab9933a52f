import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RawImage } from "../../src/index.js";

test("RawImage.open reads what save() has written, and says what it cannot read", async () => {
  const folder = await mkdtemp(join(tmpdir(), "images-"));
  const [file, other] = ["a.png", "b.png"].map((name) => join(folder, name));
  const image = new RawImage(2, 1, Uint8ClampedArray.of(1, 2, 3, 4, 5, 6));
  await image.save(file);
  expect(await RawImage.open(file)).toEqual(image);
  await writeFile(other, "GIF89a");
  await expect(RawImage.open(other)).rejects.toThrow(`${other}: PNG: this is no PNG file`);
  await expect(RawImage.open(join(folder, "none.png"))).rejects.toThrow("ENOENT");
  await rm(folder, { recursive: true });
});
