import { describe, expect, test } from "vitest";
import { cropRegion, fitRegion, type CropRegion } from "../../src/pipelines/images/mask_crop.js";
import { overlay } from "../../src/pipelines/images/overlay.js";
import { RawImage } from "../../src/index.js";
import { readFixtureJSON } from "../support/files.js";
import { maskPicture, picture } from "../support/pictures.js";

type Size = [number, number];
interface Digest {
  shape: number[];
  sum: number;
  sha256: string;
}

/** What scripts/make_inpaint.py wrote of VaeImageProcessor. */
const { crops } = await readFixtureJSON<{
  crops: {
    size: Size;
    box: number[];
    drawn: Size;
    padding: number;
    region: number[];
    filled: Digest;
    overlaid: Digest;
  }[];
}>("pipelines/inpaint.json");

async function digest(width: number, height: number, data: Uint8ClampedArray): Promise<Digest> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(data)));
  const sha256 = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { shape: [height, width, 3], sum: data.reduce((a, b) => a + b, 0), sha256 };
}

describe("a region of a picture, to the byte as diffusers and Pillow cut, fill and overlay it", () => {
  for (const { size, box, drawn, padding, region, filled, overlaid } of crops)
    test(`${size.join("x")}, white in ${box.join(", ")}, drawn at ${drawn.join("x")}, ${padding} around`, async () => {
      const [x1, y1, x2, y2] = region;
      const wanted: CropRegion = { x1, y1, x2, y2 };
      expect(cropRegion(maskPicture(...size, box), drawn, padding)).toEqual(wanted);
      const image = picture(...size);
      expect(await digest(...drawn, fitRegion(wanted)(image, drawn))).toEqual(filled);
      // A mask of many greys shows how the overlay rounds.
      const greys = Uint8ClampedArray.from({ length: size[0] * size[1] }, (_, i) => (i * 7) % 256);
      const soft = new RawImage(...size, greys, 1);
      const { data } = overlay(picture(...drawn), image, soft, wanted);
      expect(await digest(...size, data)).toEqual(overlaid);
    });
});
