/** A latent consistency model put together from the repositories of the tests. */
import { openRepository, type Repository } from "../../src/index.js";
import { fixturePath } from "./files.js";
import { changed } from "./repositories.js";

/** sd15 with the UNet and the scheduler of lcm, which has no other parts. */
export async function lcmRepository(className = "LatentConsistencyModelPipeline"): Promise<Repository> {
  const [sd15, lcm] = await Promise.all(
    ["sd15", "lcm"].map((name) => openRepository(fixturePath(`models/repos/${name}`))),
  );
  const file = await sd15.open("model_index.json");
  const index = JSON.parse(new TextDecoder().decode(await file!.read())) as object;
  const scheduler = ["diffusers", "LCMScheduler"];
  const base = await changed(fixturePath("models/repos/sd15"), {
    "model_index.json": { ...index, scheduler, _class_name: className },
  });
  return {
    name: "lcm",
    open: (path, options) => (/^(unet|scheduler)\//.test(path) ? lcm : base).open(path, options),
  };
}
