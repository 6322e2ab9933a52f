import type { Hub } from "./hub_api.js";
import { commitOf, fetchJSON } from "./hub_api.js";

/** Resolves a revision to a commit, with the hub's own package over our fetch. Throws HubError. */
export async function resolveCommit(hub: Hub, revision: string, tries?: number): Promise<string> {
  const where = `${hub.id} at revision ${revision}`;
  const { modelInfo } = await import("@huggingface/hub");
  const info = await modelInfo({
    name: hub.id,
    revision,
    hubUrl: hub.endpoint,
    additionalFields: ["sha"],
    fetch: (url) => fetchJSON(hub, String(url), where, { tries }),
  });
  return commitOf(info, where);
}
