import { quote, RepositoryError } from "../errors.js";

/** A fault of the hub or on the way there, and what it means for who meets it. */
export class HubError extends RepositoryError {
  /** May be gone at the next try. */
  readonly passing: boolean;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfter: number | undefined;
  /** What the hub calls it, such as "RevisionNotFound". */
  readonly code: string | undefined;

  constructor(
    message: string,
    { passing = false, retryAfter, code, cause }: Partial<Omit<HubError, "message" | "name">> = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.passing = passing;
    this.retryAfter = retryAfter;
    this.code = code;
  }
}

const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Whether an answer of this status may be another one at the next try, and when that may be. `now`: Date.now(). */
export function retryOf({ status, headers }: Response, now: number): Pick<HubError, "passing" | "retryAfter"> {
  return PASSING.has(status) ? { passing: true, retryAfter: retryAfter(status, headers, now) } : NOT_AGAIN;
}
const NOT_AGAIN = { passing: false, retryAfter: undefined };

/** Where a request belongs, for messages: `file` and `repository` as the user knows them. */
export interface Asked {
  repository: string;
  /** "unet/config.json of org/name" */
  where: string;
  hasToken: boolean;
  endpoint: string;
}

/** The error for an answer whose status is no success. `now`: Date.now(). */
export function statusError(response: Response, asked: Asked, now: number): HubError {
  const { status, headers } = response;
  const code = headers.get("x-error-code") ?? undefined;
  const said = headers.get("x-error-message");
  const answered = `${asked.where}: the server answered ${status}${said ? ` (${quote(said, 200)})` : ""}`;
  const retry = retryOf(response, now);
  if (retry.passing) {
    const what =
      status === 429 ? ": too many requests" : status === 408 ? ": it waited too long" : ": it is in trouble";
    return new HubError(answered + what, { ...retry, code });
  }
  return new HubError(`${answered}: ${meaning(status, code, asked)}`, { code });
}

function meaning(status: number, code: string | undefined, { repository, hasToken, endpoint }: Asked): string {
  const token = hasToken
    ? "check that your token is valid and may read it"
    : "give a token (option token, HF_TOKEN, or `hf auth login`)";
  if (code === "GatedRepo")
    return `the repository is gated; accept its conditions at ${endpoint}/${repository.split("@")[0]} and ${token}`;
  if (code === "RepoNotFound" || (status === 401 && code === undefined))
    return `there is no such repository, or it is private; check the name (there is no local folder of this name either), or ${token}`;
  if (code === "RevisionNotFound") return "there is no such revision; check the option revision";
  if (status === 401 || status === 403) return `access is denied; ${token}`;
  if (status === 404 || status === 410) return "not found; check the name of the repository and the option revision";
  if (status === 416) return "it does not have the bytes asked for";
  if (status >= 300 && status < 400) return "a redirect without an address";
  return "the request is refused; is this a Hugging Face hub, and is the package up to date?";
}

/**
 * `Retry-After` in seconds or as a date, or the hub's own `RateLimit: …;r=0;t=seconds`, which is in every answer and means
 * something where nothing remains; milliseconds from `now`.
 */
function retryAfter(status: number, headers: Headers, now: number): number | undefined {
  const limit = status === 429 ? /;\s*r=0;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "") : null;
  const value = headers.get("retry-after") ?? limit?.[1];
  if (!value) return undefined;
  const milliseconds = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}
