// The page: it hands what is touched to the sound, and what is made and heard to the picture.

import { bar, mixed, mixer } from "./controls.js";
import { History } from "./history.js";
import { Picture } from "./picture.js";
import { Microphone, decoded } from "./prime.js";
import { showRun } from "./run.js";
import { Sound } from "./sound.js";
import { Voices, exported, fetched, plays, titled } from "./voices.js";
import { wav } from "./wav.js";

const MINUTE = 60; // seconds that can be saved
const SEEDS = 1000000;
const PRESSED = 1.2; // times real time, below which the picture leaves more of the processor to the sound

const $ = (id) => document.getElementById(id);
const history = new History(16000);
const picture = new Picture($("picture"), history);
const microphone = new Microphone();
const mixes = new Map(); // labels and the weights that were chosen, by the name of a voice
let asked = { id: 0 }; // the voice that was last asked for
let voice; // the one that plays, and what the Worker said of it
let slow = false;
let begun = ""; // what the next new sound is called in the picture

$("unstarted").remove(); // a browser loads no modules from a disk, so there the words stay

// ---- what the sound tells

const sound = new Sound({
  made({ at, samples }) {
    history.write(at, samples);
  },
  cut({ cut, anew, rate }) {
    const other = rate !== history.rate;
    history.cut(cut, rate);
    if (other) picture.resize();
    picture.cut(cut);
    if (anew && cut > 0) picture.mark(cut, begun);
  },
  played(report) {
    picture.played(report);
    const ahead = (history.end - report.played) / history.rate;
    $("play").style.setProperty("--ahead-part", Math.min(1, ahead).toFixed(2));
    $("save").disabled = report.played === 0;
  },
  speed({ speed }) {
    $("speed").textContent = `${speed.toFixed(1)} × real time`;
    const now = speed < (slow ? 1.1 : 1);
    if (now !== slow) $("slow").hidden = !now;
    picture.rests = speed < PRESSED;
    if (now) $("slow").querySelector("b").textContent = `${speed.toFixed(2)} ×`;
    $("speed").classList.toggle("warns", now);
    slow = now;
  },
  voice(loaded) {
    if (loaded.voice === asked.id) show({ ...asked, ...loaded });
  },
  refused({ refused, text }) {
    if (refused === asked.id) keep(text);
  },
  failed: notice,
  interrupted: pause,
});

// ---- voices

const voices = new Voices($("choices"), $("mute"), {
  chosen: choose,
  listed() {
    const name = new URLSearchParams(location.search).get("voice");
    const playable = voices.entries.filter(plays);
    const named = playable.find((entry) => entry.name === name);
    const now = voices.find(asked.entry?.name);
    if (name && !named && !asked.entry) notice(`No voice called ${name} can be played here.`);
    if (!asked.entry && playable.length) choose(named ?? playable[0]);
    else if (now && plays(now) && now.version !== asked.entry.version) newer(now);
    if (now) showRun($("run"), now.run);
    voices.show(asked.entry?.name);
    $("empty").hidden = voices.entries.length > 0;
  },
});
voices.read().catch((error) => notice(`${error.message}.`));

async function choose(entry) {
  const id = asked.id + 1;
  asked = { id, entry };
  voices.show(entry.name);
  status(`Fetching ${titled(entry)}`);
  try {
    const bytes = await fetched(entry);
    if (id !== asked.id) return;
    const mix = mixes.get(entry.name);
    sound.tell("voice", { id, bytes, weights: mix && mixed(mix.labels, mix.weights) }, [bytes]);
  } catch (error) {
    if (id === asked.id) keep(error.message);
  }
}

/** A voice that was asked for cannot play: the one before stays. */
function keep(text) {
  notice(`${titled(asked.entry)}: ${text}.`);
  if (asked.entry.bytes && asked.entry !== voice?.entry) voices.remove(asked.entry);
  asked = { id: asked.id, entry: voice?.entry };
  voices.show(asked.entry?.name);
  $("empty").hidden = voices.entries.length > 0;
  status(voice ? titled(voice.entry) : "");
}

/** The controls of the voice that plays from now on. */
function show(loaded) {
  voice = loaded;
  const { entry, labels, takesTopP } = voice;
  begun = titled(entry);
  picture.receptiveField = voice.receptiveField;
  $("credit").textContent = entry.credit ?? "";
  topP.input.disabled = !takesTopP;
  $("mixture").hidden = takesTopP;
  if (mixes.get(entry.name)?.weights.length !== labels.length)
    mixes.set(entry.name, { labels, weights: voice.weights });
  const { weights } = mixes.get(entry.name);
  $("labels").replaceChildren(...mixer(labels, weights, () => set({ weights: mixed(labels, weights) })));
  $("mix").hidden = !labels.length;
  for (const id of ["play", "restart", "sound", "microphone"]) $(id).disabled = false;
  $("newer").hidden = true;
  continues("");
  showRun($("run"), entry.run);
  status(titled(entry));
}

/** A voice that is still being trained has changed. */
function newer(entry) {
  if ($("always").checked) return choose(entry);
  const step = entry.run?.step;
  const learned = step ? `, up to step ${step}` : "";
  $("newer").querySelector("p").textContent = `${titled(entry)} has learned more${learned}.`;
  $("switch").onclick = () => choose(entry);
  $("newer").hidden = false;
}

$("later").addEventListener("click", () => ($("newer").hidden = true));

// ---- controls

const set = (chosen) => sound.tell("set", { chosen });
const temperature = bar({
  name: "temperature",
  hint: "tame to wild",
  value: 1,
  high: 1.5,
  changed: (value) => set({ temperature: value }),
});
const topP = bar({
  name: "top-p",
  hint: "keeps the likeliest",
  value: 1,
  low: 0.05,
  changed: (value) => set({ topP: value }),
});
$("steer").querySelector("h2").after(temperature, topP);
$("volume").append(
  bar({
    name: "volume",
    value: 1,
    said: (x) => `${Math.round(100 * x)} %`,
    changed: (value) => (sound.loudness = value ** 2),
  }),
);

$("play").addEventListener("click", () => (sound.wanted ? pause() : play()));

async function play() {
  playing(true);
  try {
    await sound.play();
  } catch (error) {
    sound.pause();
    playing(false);
    notice(error.message);
  }
}

function pause() {
  sound.pause();
  playing(false);
}

function playing(now) {
  $("play").setAttribute("aria-pressed", now);
  $("play").setAttribute("aria-label", now ? "Pause" : "Play");
}

document.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.repeat || event.target.closest("button, input:not([type=range]), summary, a")) return;
  event.preventDefault();
  if (!$("play").disabled) $("play").click();
});

$("restart").addEventListener("click", restart);
$("seed").addEventListener("change", () => {
  const seed = $("seed").value.trim();
  if (!/^\d+$/.test(seed)) return notice(`The seed is ${seed || "empty"}, but it must be a whole number.`);
  set({ seed });
  restart();
});
$("dice").addEventListener("click", () => {
  $("seed").value = Math.floor(Math.random() * SEEDS);
  $("seed").dispatchEvent(new Event("change"));
});

function restart() {
  begun = `seed ${$("seed").value}`;
  sound.tell("restart");
}

$("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(wav(history.before(sound.played, MINUTE), history.rate));
  link.download = `${asked.entry.name} ${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.wav`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), MINUTE * 1000);
});

// ---- files and the microphone

$("open").addEventListener("click", () => $("file").click());
$("sound").addEventListener("click", () => $("soundfile").click());
for (const id of ["file", "soundfile"])
  $(id).addEventListener("change", ({ target }) => {
    take(target.files[0]);
    target.value = "";
  });

/** A file that was dropped or chosen: a network to play, or a sound to continue. */
async function take(file) {
  try {
    const bytes = await file.arrayBuffer();
    if (exported(bytes)) {
      const entry = { name: file.name, title: file.name.replace(/\.wavenet$/, ""), credit: "opened here", bytes };
      voices.add(entry);
      $("empty").hidden = true;
      return choose(entry);
    }
    if (file.name.endsWith(".wavenet")) throw new Error("it is not an exported network: its first bytes are others");
    if (!voice) throw new Error("choose a voice first, which is to continue it");
    prime(await decoded(bytes, voice.rate), file.name);
  } catch (error) {
    notice(`${file.name}: ${error.message}.`);
  }
}

function prime(samples, name) {
  begun = name;
  sound.tell("prime", { samples });
  continues(name);
}

function continues(name) {
  $("primed").textContent = name
    ? `The voice continues ${name}.`
    : "The voice begins after silence. Give it a sound to go on from.";
  $("forget").hidden = !name;
}

$("forget").addEventListener("click", () => {
  prime(new Float32Array(0), "");
  begun = "silence";
});

$("microphone").addEventListener("click", async () => {
  if (microphone.listening) return microphone.stop();
  const resumes = sound.wanted;
  listening(true);
  pause();
  try {
    prime(await microphone.listen(await sound.awake(), voice.rate), "the microphone");
  } catch (error) {
    notice(`The microphone was not heard: ${error.message}.`);
  }
  if (resumes) play();
  listening(false);
});

function listening(now) {
  sound.held = now;
  $("microphone").setAttribute("aria-pressed", now);
  $("microphone").textContent = now ? "Listening: press to end" : "Microphone";
}

for (const type of ["dragenter", "dragover", "dragleave", "drop"])
  document.addEventListener(type, (event) => {
    event.preventDefault();
    const over = type === "dragenter" || type === "dragover";
    if (over && !event.dataTransfer.types.includes("Files")) return;
    if (over || type === "drop" || !event.relatedTarget) document.body.classList.toggle("dragged", over);
    if (type === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });

// ---- words

function notice(text) {
  $("notice").querySelector("p").textContent = text;
  $("notice").hidden = !text;
}

function status(text) {
  $("status").textContent = text;
}

$("close").addEventListener("click", () => notice(""));
