// The training run that a voice comes from: its curve and its sounds, as wavenet-serve lists them.

import { element } from "./controls.js";

const SOUNDS = 6; // the newest
const WIDTH = 480;
const TALL = 240;
const EDGE = { left: 34, right: 54, top: 16, bottom: 36 };

let shown = "";

/** run: {step, updated, training, samples, metrics, curves}, of which all but the step may be missing; or undefined. */
export async function showRun(section, run) {
  const now = JSON.stringify(run ?? null);
  if (now === shown) return;
  shown = now;
  section.hidden = !run;
  if (!run) return;
  const curve = run.metrics ? await drawn(run.metrics) : run.curves && picture(run.curves);
  if (now !== shown) return; // another voice came meanwhile
  const heading = element("h2", { textContent: run.training ? "Still in training" : "Its training" });
  const sounds = element("div", { className: "sounds" });
  sounds.append(element("p", { className: "hint", textContent: told(run) }));
  for (const address of (run.samples ?? []).slice(-SOUNDS).reverse()) sounds.append(sound(address));
  section.replaceChildren(heading, ...(curve ? [curve] : []), sounds);
}

function told({ step, updated, samples }) {
  const when = updated ? `, ${new Date(updated).toLocaleString()}` : "";
  return `This is step ${step}${when}.${samples?.length ? " What it made on the way:" : ""}`;
}

function sound(address) {
  const name = decodeURIComponent(address.split("/").pop());
  const step = name.match(/^step_(\d+)/);
  const figure = element("figure");
  const caption = element("figcaption", { textContent: step ? `step ${Number(step[1])}` : name });
  figure.append(caption, element("audio", { src: address, controls: true, preload: "none" }));
  return figure;
}

const picture = (address) => element("img", { src: address, alt: "Bits per sample by step of training" });

/** The bits per sample in metrics.jsonl as a drawing; undefined if it holds none. */
async function drawn(address) {
  const response = await fetch(address, { cache: "no-cache" });
  const lines = response.ok ? (await response.text()).split("\n") : [];
  const records = lines.flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return []; // the last line may still be written
    }
  });
  const of = (name) => records.filter((record) => name in record).map((record) => [record.step, record[name]]);
  const curves = { training: smoothed(of("train/bits")), validation: of("valid/bits") };
  return Object.values(curves).some((points) => points.length > 1) ? plot(curves) : undefined;
}

function smoothed(points) {
  const reach = Math.ceil(points.length / 60);
  return points.map(([step], i) => {
    const near = points.slice(Math.max(0, i - reach), i + reach + 1);
    return [step, near.reduce((sum, [, bits]) => sum + bits, 0) / near.length];
  });
}

function plot(curves) {
  const all = Object.values(curves).flat();
  const last = Math.max(...all.map(([step]) => step));
  const low = Math.floor(Math.min(...all.map(([, bits]) => bits)));
  const high = Math.max(low + 1, Math.ceil(Math.max(...all.map(([, bits]) => bits))));
  const x = (step) => EDGE.left + (step / last) * (WIDTH - EDGE.left - EDGE.right);
  const y = (bits) => EDGE.top + ((high - bits) / (high - low)) * (TALL - EDGE.top - EDGE.bottom);
  const parts = [];
  for (let bits = low; bits <= high; bits += Math.ceil((high - low) / 5)) {
    parts.push(svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(bits), y2: y(bits), class: "grid" }));
    parts.push(svg("text", { x: EDGE.left - 8, y: y(bits) + 4, "text-anchor": "end" }, bits));
  }
  for (const [name, points] of Object.entries(curves)) {
    if (!points.length) continue;
    const [step, bits] = points.at(-1);
    parts.push(
      svg("polyline", { class: name, points: points.map((point) => `${x(point[0])},${y(point[1])}`).join(" ") }),
    );
    if (name === "validation")
      parts.push(svg("text", { x: x(step) + 6, y: y(bits) + 4, class: name }, bits.toFixed(2)));
  }
  parts.push(svg("text", { x: EDGE.left, y: TALL - 8 }, "bits per sample, by step"));
  parts.push(svg("text", { x: WIDTH - EDGE.right, y: TALL - 8, "text-anchor": "end" }, last));
  const best = curves.validation.at(-1);
  const words = `Bits per sample by step of training${best ? `; in validation now ${best[1].toFixed(2)}` : ""}.`;
  const whole = svg("svg", { viewBox: `0 0 ${WIDTH} ${TALL}`, role: "img", "aria-label": words });
  whole.append(...parts);
  return whole;
}

function svg(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}
