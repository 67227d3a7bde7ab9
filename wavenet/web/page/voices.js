// The voices that lie beside the page, as voices.json lists them, and files that were opened:
//
//     [{"name": "piano", "file": "piano.wavenet", "title": "Piano", "credit": "...", "version": "...", "run": {...}}]
//
// `version` and `run` come from wavenet-serve. A voice with a version may change, so the list is then read again. A
// voice without a file cannot be played, for the "reason" that the entry has.

import { element } from "./controls.js";

const AGAIN = 3000; // milliseconds

export class Voices {
  /** list, mute: elements for the choices, and for what cannot be chosen and why; chosen(entry) and listed() are called
   *  when something changes. */
  constructor(list, mute, { chosen, listed }) {
    Object.assign(this, { list, mute, chosen, listed });
    this.entries = [];
    this.text = "";
  }

  /** Reads voices.json. Throws an Error if it is there and cannot be read; that there is none is allowed. */
  async read() {
    const response = await fetch("voices.json", { cache: "no-store" });
    if (!response.ok && response.status !== 404)
      throw new Error(`voices.json could not be read (${response.status} ${response.statusText})`);
    const text = response.ok ? await response.text() : "[]";
    if (text !== this.text) {
      this.text = text;
      this.entries = [...parsed(text), ...this.entries.filter((entry) => entry.bytes)];
      this.listed();
    }
    if (this.entries.some((entry) => entry.version || entry.run))
      setTimeout(() => this.read().catch(() => this.later()), AGAIN);
  }

  /** A server that is away for a while takes nothing from the page. */
  later() {
    setTimeout(() => this.read().catch(() => this.later()), 2 * AGAIN);
  }

  find(name) {
    return this.entries.find((entry) => entry.name === name);
  }

  add(entry) {
    this.entries = [...this.entries.filter(({ name }) => name !== entry.name), entry];
  }

  remove(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
  }

  /** Shows all of them, with this one chosen. */
  show(name) {
    const focused = this.list.contains(document.activeElement);
    const choices = this.entries.filter(plays).map((entry) => {
      const choice = element("label", { className: "choice" });
      const input = element("input", { type: "radio", name: "voice", value: entry.name });
      input.checked = entry.name === name;
      input.addEventListener("change", () => this.chosen(entry));
      choice.append(input, element("span", { textContent: titled(entry) }));
      return choice;
    });
    this.list.replaceChildren(...choices);
    const mute = this.entries.filter((entry) => !plays(entry));
    this.mute.hidden = !mute.length;
    const summary = element("summary", { textContent: `${mute.length} cannot be played here` });
    const why = mute.map((entry) =>
      element("p", { textContent: `${titled(entry)}: ${entry.reason ?? "it has no file"}.` }),
    );
    this.mute.replaceChildren(summary, ...why);
    if (focused) this.list.querySelector(":checked")?.focus();
  }
}

export const plays = (entry) => Boolean(entry.file || entry.bytes);
export const titled = (entry) => entry.title || entry.name;

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("voices.json is not JSON");
  }
}

/** The bytes of a voice's file. Throws an Error that says why it is not there. */
export async function fetched({ file, version, bytes }) {
  if (bytes) return bytes.slice(0);
  const response = await fetch(file, { cache: version ? "no-cache" : "default" });
  if (!response.ok) throw new Error(`${file} could not be fetched (${response.status} ${response.statusText})`);
  return response.arrayBuffer();
}

const MAGIC = [...new TextEncoder().encode("WAVENET\n")];

/** Whether these bytes (ArrayBuffer) begin as an exported network does. */
export function exported(bytes) {
  const first = new Uint8Array(bytes, 0, Math.min(bytes.byteLength, MAGIC.length));
  return first.length === MAGIC.length && MAGIC.every((byte, i) => first[i] === byte);
}
