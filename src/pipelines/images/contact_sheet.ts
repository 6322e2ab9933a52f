/** A contact sheet: pictures side by side on white, each with a few words below it. */
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyph } from "./bitmap_font.js";
import { RawImage } from "./raw_image.js";

/** A picture and the texts below it; each text begins a new line. */
export interface SheetCell {
  image: RawImage;
  labels: readonly string[];
}

/** White between and around the pictures, pixels. */
const MARGIN = 8;
/** Pictures below this width or height are enlarged, so that their labels have room. */
const SMALLEST = 128;
/** Width that one dot of the font takes to stay readable when the sheet is shown at the width of a screen. */
const PIXELS_PER_DOT = 256;
/** Lines of the heading; the rest of a longer one is cut. */
const HEADING_LINES = 3;
const INK = 32;

/**
 * Draws the sheet. All pictures must have the same size; a row may be shorter than the others.
 * @param rows pictures, row by row
 * @param heading a text above everything
 * @returns margins of 8 pixels around everything; pictures below 128 pixels are enlarged by a whole factor
 */
export function contactSheet(rows: readonly (readonly SheetCell[])[], heading = ""): RawImage {
  const cells = rows.flat();
  if (cells.length === 0) throw new RangeError("contactSheet: needs at least one picture, got none");
  const { width: imageWidth, height: imageHeight } = cells[0].image;
  for (const { image } of cells)
    if (image.width !== imageWidth || image.height !== imageHeight)
      throw new RangeError(
        `contactSheet: pictures must have one size, got ${imageWidth}x${imageHeight} and ${image.width}x${image.height}`,
      );
  const zoom = Math.max(1, Math.ceil(SMALLEST / Math.min(imageWidth, imageHeight)));
  const [cellWidth, cellHeight] = [imageWidth * zoom, imageHeight * zoom];
  const dot = Math.max(1, Math.floor(cellWidth / PIXELS_PER_DOT));
  const lineHeight = (GLYPH_HEIGHT + 2) * dot;
  const columns = Math.max(...rows.map((row) => row.length));
  const width = MARGIN + columns * (cellWidth + MARGIN);

  const texts = rows.map((row) => row.map(({ labels }) => labels.flatMap((label) => wrap(label, cellWidth, dot))));
  const labelHeight = Math.max(...texts.flat().map((lines) => lines.length)) * lineHeight;
  const title = heading === "" ? [] : limit(wrap(heading, width - 2 * MARGIN, dot), HEADING_LINES);
  const top = MARGIN + (title.length > 0 ? title.length * lineHeight + MARGIN / 2 : 0);
  const rowHeight = cellHeight + MARGIN / 2 + labelHeight + MARGIN;

  const height = top + rows.length * rowHeight;
  const sheet = new RawImage(width, height, new Uint8ClampedArray(3 * width * height).fill(255));
  title.forEach((line, i) => drawText(sheet, line, MARGIN, MARGIN + i * lineHeight, dot));
  rows.forEach((row, r) =>
    row.forEach(({ image }, c) => {
      const [x, y] = [MARGIN + c * (cellWidth + MARGIN), top + r * rowHeight];
      drawImage(sheet, image, x, y, zoom);
      texts[r][c].forEach((line, i) => drawText(sheet, line, x, y + cellHeight + MARGIN / 2 + i * lineHeight, dot));
    }),
  );
  return sheet;
}

/** Lines that fit `width` pixels, broken at spaces, within a word before a capital, and anywhere where it must be. */
function wrap(text: string, width: number, dot: number): string[] {
  const room = Math.max(1, Math.floor((width / dot + 1) / (GLYPH_WIDTH + 1)));
  const lines = [""];
  for (const piece of text.split(/(?<= )|(?<=[a-z])(?=[A-Z])/)) {
    let rest = piece;
    if ((lines[lines.length - 1] + rest.trimEnd()).length > room && lines[lines.length - 1] !== "") lines.push("");
    for (; rest.trimEnd().length > room; rest = rest.slice(room)) lines.splice(-1, 1, rest.slice(0, room), "");
    lines[lines.length - 1] += rest;
  }
  return lines.map((line) => line.trimEnd());
}

const limit = (lines: string[], most: number): string[] =>
  lines.length <= most ? lines : [...lines.slice(0, most - 1), lines[most - 1].slice(0, -3) + "..."];

function drawImage(sheet: RawImage, image: RawImage, left: number, top: number, zoom: number): void {
  const { width, height } = image;
  const rgba = image.toRGBA();
  for (let y = 0; y < height * zoom; y++)
    for (let x = 0; x < width * zoom; x++) {
      const from = 4 * (Math.floor(y / zoom) * width + Math.floor(x / zoom));
      sheet.data.set(rgba.subarray(from, from + 3), 3 * ((top + y) * sheet.width + left + x));
    }
}

function drawText(sheet: RawImage, text: string, left: number, top: number, dot: number): void {
  [...text].forEach((character, i) => {
    const x0 = left + i * (GLYPH_WIDTH + 1) * dot;
    glyph(character).forEach((row, j) => {
      for (let k = 0; k < GLYPH_WIDTH; k++) if (row[k] === "#") fill(sheet, x0 + k * dot, top + j * dot, dot);
    });
  });
}

/** A square of ink. */
function fill(sheet: RawImage, left: number, top: number, size: number): void {
  for (let y = top; y < top + size; y++) {
    const start = 3 * (y * sheet.width + left);
    sheet.data.fill(INK, start, start + 3 * size);
  }
}
