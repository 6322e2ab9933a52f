/** Horizontal bar charts as SVG text. */

export interface Bar {
  label: string;
  /** One per series; undefined where there is none. */
  values: readonly (number | undefined)[];
}

export interface Chart {
  title: string;
  /** Names of the series, one per run. */
  series: readonly string[];
  bars: readonly Bar[];
  /** Written behind every bar. */
  format: (value: number) => string;
  /** For times, which differ by powers of ten. */
  logarithmic?: boolean;
  /** A vertical line here, e.g. 100 %. */
  mark?: number;
}

const COLORS = ["#2b6cb0", "#dd6b20", "#2f855a", "#b83280", "#6b46c1", "#975a16"];
const BAR = 14;
const GAP = 8;
const LABEL = 390;
const WIDTH = 560;
const VALUE = 90;

export const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** The colour of a series. */
export const colorOf = (series: number): string => COLORS[series % COLORS.length];

/** A figure with a caption and one SVG. */
export function barChart({ title, series, bars, format, logarithmic = false, mark }: Chart): string {
  const shown = bars.filter(({ values }) => values.some((value) => value !== undefined));
  if (shown.length === 0) return "";
  const all = shown.flatMap(({ values }) =>
    values.filter((value): value is number => value !== undefined && value > 0),
  );
  const top = Math.max(...all, mark ?? 0, 1e-9);
  // A decade below the smallest value, so that it has a bar too.
  const low = logarithmic ? Math.log10(Math.min(...all)) - 0.5 : 0;
  const length = (value: number): number => {
    const share = logarithmic ? (Math.log10(Math.max(value, 1e-9)) - low) / (Math.log10(top) - low) : value / top;
    return Math.max(1, share * WIDTH);
  };
  const step = series.length * BAR + GAP;
  const body = shown.map(({ label, values }, row) => {
    const y = row * step;
    const name = `<text x="${LABEL - 8}" y="${y + (series.length * BAR) / 2 + 4}" text-anchor="end">${escape(label)}</text>`;
    const rects = values.map((value, i) => {
      if (value === undefined) return "";
      const width = length(value).toFixed(1);
      const at = y + i * BAR;
      return (
        `<rect x="${LABEL}" y="${at + 1}" width="${width}" height="${BAR - 2}" fill="${colorOf(i)}"/>` +
        `<text x="${LABEL + Number(width) + 5}" y="${at + BAR - 3}">${escape(format(value))}</text>`
      );
    });
    return name + rects.join("");
  });
  const height = shown.length * step;
  const line =
    mark === undefined
      ? ""
      : `<line x1="${LABEL + length(mark)}" x2="${LABEL + length(mark)}" y1="0" y2="${height}" class="mark"/>`;
  const box = `0 0 ${LABEL + WIDTH + VALUE} ${height}`;
  return (
    `<figure><figcaption>${escape(title)}</figcaption>` +
    `<svg viewBox="${box}" role="img" aria-label="${escape(title)}">${line}${body.join("")}</svg></figure>\n`
  );
}
