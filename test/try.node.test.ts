import { test } from "vitest";
import { DiffusionPipeline, EMBEDDED_MODEL, Tensor, requestDevice } from "../src/index.js";
test("profile", async () => {
  const device = await requestDevice();
  const p: any = await DiffusionPipeline.fromPretrained(EMBEDDED_MODEL);
  const x = Tensor.from(new Float32Array(2 * 4 * 256).map(() => Math.random()), [2, 4, 16, 16]);
  const c = Tensor.from(new Float32Array(2 * 77 * 96).map(() => Math.random()), [2, 77, 96]);
  const z = Tensor.from(new Float32Array(4 * 256).map(() => Math.random()), [1, 4, 16, 16]);
  for (const what of ["unet", "vae"]) {
    const cmds: any[] = [];
    const push = device.queue.push.bind(device.queue);
    const go = () => what === "unet" ? p.unet.forward(x, 5, c).sample : p.vae.decode(z).sample;
    const t00 = performance.now();
    let y = go(); await device.synchronize(); y.dispose();
    console.log(what, "first", performance.now() - t00);
    (device.queue as any).push = (cmd: any) => { cmds.push(cmd); push(cmd); };
    const t0 = performance.now();
    y = go(); const t1 = performance.now(); await device.synchronize();
    console.log(what, "cpu", t1 - t0, "total", performance.now() - t0, "dispatches", cmds.filter(c => c.kind === "dispatch").length);
    (device.queue as any).push = push;
    const by = new Map<string, any>();
    for (const cmd of cmds) {
      if (cmd.kind !== "dispatch") continue;
      const n = 4;
      const t = performance.now();
      for (let i = 0; i < n; i++) push(cmd);
      await device.synchronize();
      const ms = (performance.now() - t) / n;
      const key = cmd.entry.label;
      const e = by.get(key) ?? { ms: 0, n: 0, flops: 0 };
      e.ms += ms; e.n++; e.flops += cmd.flops; by.set(key, e);
    }
    for (const [k, e] of [...by].sort((a, b) => b[1].ms - a[1].ms)) console.log(k, e.n, e.ms.toFixed(1), "ms", (e.flops / e.ms / 1e6).toFixed(2), "GF/s", (e.flops/1e6).toFixed(0));
  }
}, 300000);
