// Makes sound ahead of the audio thread, a second of it, in blocks. Before each block it saves its place in the sound.
// A change goes back to the place that lies LEAD after what is being heard, and makes anew what follows: so a second
// of ring does not make the controls late.
//
// No timer decides anything here. The audio thread's reports ask for more, and `next` calls the Worker back between two
// blocks, once it has read its messages. So a hidden tab plays on.

import { fittingKernel } from "./kernel.js";
import { Network } from "./wasm.js";

const AHEAD = 1; // seconds
const BLOCK = 0.02; // seconds; a change begins at most this much later than LEAD
const LEAD = 0.08; // seconds that are kept when something changes, while the first new blocks are made
const SLOW_LEAD = 0.15;
const REFILL = 0.06; // seconds to wait for before sound begins, unless the engine is slow
const FAST = 1.2; // times real time
const MEASURED = 0.4; // seconds of sound in one measurement of speed
const MOST_SAVED = 1 << 27; // bytes of saved places

let engine; // a promise of the compiled module
let audio; // the port of the audio thread
let network; // that plays
let newest; // the voice that was last asked for
let settings = {};
let changed; // since the last block: undefined, "steered", or "begun" (another sound)

let made = 0; // the place of the next sample, counted as the audio thread does
let played = 0;
let flows = false; // whether it is being heard
let origin = 0; // the place where the present sound began
let blocks = 0; // made since then
let block = 0; // samples
let saved = []; // the place before block i, at i % saved.length
let speed = 0; // times real time; 0: not measured
let timed; // what is being measured; undefined: nothing was made yet

const next = new MessageChannel();
let called = false;
next.port1.onmessage = () => {
  called = false;
  work();
};
function call() {
  if (!called) next.port2.postMessage(0);
  called = true;
}

const receive = {
  engine({ beside }) {
    engine = compiled(new URL(fittingKernel(), beside).href);
    engine.catch(() => {}); // `voice` tells it
  },

  /** An audio thread, which begins to play at `played`, or takes over there. */
  audio({ port }) {
    audio = port;
    audio.onmessage = ({ data }) => {
      ({ played, flows } = data);
      call();
    };
    flows = false;
    change("steered");
  },

  /** weights: of the mix that was chosen for this voice before; it may have had other labels. */
  async voice({ id, bytes, weights }) {
    newest = id;
    try {
      const loaded = await Network.load(await engine, new Uint8Array(bytes));
      if (id !== newest) return;
      if (weights?.length !== loaded.labels.length) weights = firsts(loaded.labels);
      loaded.set({ ...settings, weights });
      const count = Math.min(Math.ceil(AHEAD / BLOCK) + 3, Math.max(4, Math.floor(MOST_SAVED / loaded.stateSize)));
      saved = Array.from({ length: count }, () => loaded.place());
      network = loaded;
    } catch (error) {
      return postMessage({ refused: id, text: words(error) });
    }
    block = Math.ceil(BLOCK * network.rate);
    speed = 0;
    timed = undefined;
    const { rate, receptiveField, labels, takesTopP } = network;
    postMessage({ voice: id, rate, receptiveField, labels, takesTopP, weights });
    change("begun");
  },

  set({ chosen: { weights, ...others } }) {
    Object.assign(settings, others); // which the next voice gets too
    network?.set({ weights, ...others });
    change("steered");
  },

  restart() {
    network?.restart();
    change("begun");
  },

  prime({ samples }) {
    if (!network) return;
    network.prime(samples);
    network.save(saved[0]); // hears it now, while what is ready plays
    change("begun");
  },
};
onmessage = ({ data }) => receive[data.type](data);

function change(what) {
  if (changed !== "begun") changed = what;
  call();
}

/** One block, if there is room for it. */
function work() {
  if (!network) return;
  if (changed) turn();
  const ahead = Math.min(AHEAD * network.rate, (saved.length - 3) * block);
  if (made - played >= ahead) return;
  network.save(saved[blocks % saved.length]);
  const began = performance.now();
  const samples = network.generate(block);
  measure(performance.now() - began);
  const refill = speed && speed < FAST ? ahead / 2 : REFILL * network.rate;
  audio.postMessage({ at: made, samples, refill });
  postMessage({ at: made, samples }, [samples.buffer]);
  made += block;
  blocks++;
  call();
}

/** Drops what was made with the old settings or of the old sound, but for a short lead. */
function turn() {
  const lead = flows ? (speed && speed < FAST ? SLOW_LEAD : LEAD) * network.rate : 0;
  const kept = Math.ceil(played + lead);
  const anew = changed === "begun";
  changed = undefined;
  if (anew) {
    origin = Math.min(made, kept);
    blocks = 0;
  } else {
    const first = Math.max(0, Math.ceil((kept - origin) / block));
    if (first >= blocks) return;
    network.restore(saved[first % saved.length]);
    blocks = first;
  }
  made = origin + blocks * block;
  const cut = { cut: made, anew, rate: network.rate };
  audio.postMessage(cut);
  postMessage(cut);
}

/** The first value of every label, by itself. */
function firsts(labels) {
  return labels.map(({ label }, i) => Number(label !== labels[i - 1]?.label));
}

function measure(milliseconds) {
  if (!timed) return void (timed = { seconds: 0, samples: 0 }); // browsers compile the engine anew once it runs
  timed.seconds += milliseconds / 1000;
  timed.samples += block;
  if (timed.samples < MEASURED * network.rate) return;
  const now = timed.samples / network.rate / Math.max(timed.seconds, 1e-6);
  speed = speed ? (speed + now) / 2 : now;
  timed = { seconds: 0, samples: 0 };
  postMessage({ speed });
}

async function compiled(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} could not be fetched (${response.status}): it belongs beside the page`);
  return WebAssembly.compile(await response.arrayBuffer());
}

function words(error) {
  if (error instanceof WebAssembly.CompileError)
    return "this browser cannot run the engine, which needs WebAssembly with SIMD: use a newer one";
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError)
    return "the engine stopped: the file is damaged, or the network is too large for this browser";
  return error.message;
}
