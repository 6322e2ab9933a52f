import { zlibSync } from "fflate";
import { describe, expect, test } from "vitest";
import { RawImage } from "../../src/index.js";
import { crc32 } from "../../src/pipelines/images/png.js";
import { Random } from "../cases/data.js";

/** Pictures of 7 x 5 pixels as Pillow 13 writes them (the last by hand), and the CRC of the bytes that it reads from them. */
const FILES: readonly (readonly [
  name: string,
  channels: number,
  crc: number,
  first: readonly number[],
  file: string,
])[] = [
  [
    "grey",
    1,
    717852518,
    [0, 37, 74, 111, 148, 185],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAAAAACs8akEAAAAMElEQVR4nGNkUFVVVVVVZTTV09PT09NjMTU3N/9hrsNiaucg6MCow2Jqx+XJ5ckFAINgBr/sOGYdAAAAAElFTkSuQmCC",
  ],
  [
    "rgb",
    3,
    2146121274,
    [0, 11, 22, 37, 48, 59],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAR0lEQVR4nGNk4BZTxQAspqamehiAxdTU1BwGfvyQMjdX1tHRYTE1NbWzs3NwcBAUFHRwcGBkZNTR0WG8cv+Vp6cnFxcXMgkAPiEVbRRqhPgAAAAASUVORK5CYII=",
  ],
  [
    "rgba",
    4,
    4242165050,
    [0, 11, 22, 33, 37, 48],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAYAAACJmvbYAAAAU0lEQVR4nHXFIQuAQAwGUAeXZloxXJPDNmwf18ZX9//tdrtw0SqCrzyZ5mXdfhQA2H8UAOgvY9Tae2vu7gUAIiJI0syMJEVE3N3lOK87M1NV9fsDV04cF4SIcAoAAAAASUVORK5CYII=",
  ],
  [
    "grey and alpha",
    4,
    530670959,
    [0, 0, 0, 11, 37, 37],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAQAAAAjkz5TAAAAOklEQVR4nGNk4FZFAiympnpIgMXU1Nzc3Nzc/McPc3MdHRZTUzs7BwdBQQcHRkYdHcYr9z09ubhgGAAAhw7Zzvr1rQAAAABJRU5ErkJggg==",
  ],
  [
    "palette",
    3,
    1615385966,
    [22, 33, 44, 22, 33, 44],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFBAMAAAB7tOvrAAAAD1BMVEXb5sezvsmDjplOWWQWISw9+68kAAAAJElEQVR4nAEZAOb/AUTu798C7+/jMALu4z/wAu9A8PAC9P7u8L3HD9qi9eYcAAAAAElFTkSuQmCC",
  ],
  [
    "1 bit",
    1,
    1328225603,
    [0, 0, 0, 255, 0, 255],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFAQAAAACh4ct1AAAAEklEQVR4nGMQY3Ji4mI4wnQJAAYOAf+yJgpsAAAAAElFTkSuQmCC",
  ],
  [
    "16 bits",
    1,
    717852518,
    [0, 37, 74, 111, 148, 185],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFEAAAAAD8YXVHAAAANklEQVR4nGNkYFBFAoympnpIgMXU1Nzc3Nzc/McPc3MdHRZTUzs7BwdBQQcHRkYol4vL0xOCAep9DW8GflFpAAAAAElFTkSuQmCC",
  ],
  [
    "rgb, 16 bits",
    3,
    2146121274,
    [0, 11, 22, 37, 48, 59],
    "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFEAIAAABWaL3MAAAA2ElEQVR4nGNgYODmFhNTVTUwsLb28goNTUjIz6+qam2dMmX+/FWrdu48cuT8+Xv3Xr788oXB1NTBwds7OTkvr7Jy4sQ5c5Yv37//1KmrV9++/fGDmVlaWk3N0NDTMyQkPp4hK6u0tKFh4cI1a7Zvv3Hj8eN37/j5paRUVdnZhYRkZe3sQMpAKrq7GUDWbN16//6rV1+/ystraZmaKihoa5uZJSRkZ5eVJSbm5JSXQwxiuHIFpExWVkPD2Fhd3cjI1ragoLq6rQ3k3gkTDh8+d+7mzbNnQfYBAImrZMHtCk1CAAAAAElFTkSuQmCC",
  ],
];
const bytesOf = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** A file of the picture's own header and pixels. */
function png(header: readonly number[], pixels: Uint8Array): Uint8Array {
  const chunk = (type: string, data: ArrayLike<number>): number[] => {
    const body = [...Array.from(type, (c) => c.charCodeAt(0)), ...Array.from(data)];
    const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
    return [...word(data.length), ...body, ...word(crc32(Uint8Array.from(body)))];
  };
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  return Uint8Array.from([...signature, ...chunk("IHDR", header), ...chunk("IDAT", pixels), ...chunk("IEND", [])]);
}

describe("RawImage.fromPNG", () => {
  for (const [name, channels, crc, first, file] of FILES)
    test(`reads ${name} as Pillow does`, () => {
      const image = RawImage.fromPNG(bytesOf(file));
      expect([image.width, image.height, image.channels]).toEqual([7, 5, channels]);
      expect(Array.from(image.data.subarray(0, 6))).toEqual(first);
      expect(crc32(new Uint8Array(image.data))).toBe(crc);
    });

  test("gives back what toPNG() has written", () => {
    const random = new Random(3);
    for (const channels of [1, 3, 4] as const)
      for (let i = 0; i < 10; i++) {
        const [width, height] = [1 + random.integer(20), 1 + random.integer(20)];
        // Noise and steps, so that all filters occur.
        const data = Uint8ClampedArray.from({ length: width * height * channels }, (_, at) =>
          at % 3 === 0 ? random.integer(256) : (at * i) & 255,
        );
        const again = RawImage.fromPNG(new RawImage(width, height, data, channels).toPNG());
        expect([again.width, again.height, again.channels]).toEqual([width, height, channels]);
        expect(again.data).toEqual(data);
      }
  });

  test("says of every cut and of every changed byte that the file is damaged, or what it is not", () => {
    const whole = bytesOf(FILES[4][4]);
    for (let length = 0; length < whole.length; length++)
      expect(() => RawImage.fromPNG(whole.subarray(0, length)), `${length}`).toThrow(RangeError);
    for (let at = 0; at < whole.length; at++) {
      const changed = Uint8Array.from(whole);
      changed[at] ^= 0x41;
      expect(() => RawImage.fromPNG(changed), `${at}`).toThrow(/^PNG: /);
    }
  });

  test("what comes behind the picture's pixels is left out", () => {
    const image = RawImage.fromPNG(png([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0], row(1e6)));
    expect(image.data).toEqual(Uint8ClampedArray.of(0));
  });

  const row = (n: number): Uint8Array => zlibSync(new Uint8Array(n));
  for (const [name, file, message] of [
    ["a JPEG", () => Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), "this is no PNG file; decode others yourself"],
    [
      "an interlaced picture",
      () => png([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 1], row(2)),
      "interlaced pictures are not read",
    ],
    [
      "a picture of no end",
      () => png([0, 1, 0, 0, 0, 1, 0, 0, 8, 0, 0, 0, 0], row(2)),
      "65536x65536 pixels are more than",
    ],
    ["fewer of them", () => png([0, 0, 0, 9, 0, 0, 0, 9, 8, 0, 0, 0, 0], row(80)), "the pixels are damaged"],
    [
      "a filter that is none",
      () => png([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0], zlibSync(Uint8Array.of(5, 0))),
      "the pixels are damaged",
    ],
    [
      "no deflate",
      () => png([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0], Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)),
      "the pixels are damaged",
    ],
    ["a colour type that is none", () => png([0, 0, 0, 1, 0, 0, 0, 1, 8, 5, 0, 0, 0], row(2)), "the header is damaged"],
    ["a palette that is missing", () => png([0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0], row(2)), "the palette is missing"],
  ] as const)
    test(`refuses ${name}`, () => expect(() => RawImage.fromPNG(file())).toThrow(`PNG: ${message}`));
});
