// The audio thread. "player" plays a ring of samples that the Worker fills; "ear" hands on what a microphone hears.
//
// Samples have places, counted from the first one that was ever made. The Worker may replace those that are not played
// yet: it sends `cut`, and then other samples for the same places.

import { Resampler } from "./resampler.js";

const RING = 1 << 18; // samples; the Worker is never more than a second ahead
const FADE = 0.005; // seconds
const REPORT = 4; // blocks of 128 frames between two reports

class Player extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, place } }) {
    super();
    this.ring = new Float32Array(RING);
    this.input = new Float32Array(1024);
    this.place = this.end = place; // the next sample to play, and the one after the last that is here
    this.refill = 1; // samples to wait for before the sound goes on
    this.wanted = this.flows = false; // what the listener wants, and what is
    this.stop = Infinity; // where a pause begins
    this.seam = -Infinity; // where another sound begins
    this.gain = 1;
    this.gaps = 0;
    this.blocks = 0;
    this.setRate(rate);
    this.port.onmessage = ({ data: { port, play } }) => {
      if (port) this.connect(port);
      else this.play(play);
    };
  }

  connect(port) {
    this.worker = port;
    this.worker.onmessage = ({ data }) => this.receive(data);
  }

  setRate(rate) {
    this.resampler = new Resampler(rate, sampleRate);
    this.fade = Math.round(FADE * rate);
    this.changes = null;
  }

  play(wanted) {
    this.wanted = wanted;
    this.stop = wanted ? Infinity : this.place + (this.flows ? this.fade : 0);
  }

  receive({ samples, at, cut, anew, rate, refill }) {
    if (refill) this.refill = refill;
    if (cut !== undefined) {
      const at = Math.max(cut, this.place);
      this.end = Math.min(this.end, at);
      if (anew) this.seam = this.flows ? at : -Infinity; // what stands still has faded already
      if (anew) this.changes = { at, rate };
    }
    if (samples) {
      const late = Math.max(0, this.end - at);
      for (let i = late; i < samples.length; i++) this.ring[(at + i) % RING] = samples[i];
      this.end = Math.max(this.end, at + samples.length);
    }
  }

  process(_, [[output]]) {
    if (this.changes && this.place >= this.changes.at) this.setRate(this.changes.rate);
    if (!this.flows && this.wanted && this.end - this.place >= this.refill) this.flows = true;
    const count = this.resampler.needs(output.length);
    if (this.input.length < count) this.input = new Float32Array(2 * count);
    const input = this.input.subarray(0, count);
    this.take(input);
    this.resampler.process(input, output);
    if (++this.blocks % REPORT === 0) this.report();
    return true;
  }

  /** The next samples, or silence where there are none. The sound fades before it stops and after it begins. */
  take(input) {
    const slope = 1 / this.fade;
    for (let i = 0; i < input.length; i++) {
      const room = Math.min(this.end, this.stop) - this.place;
      if (this.flows && room <= 0) {
        if (this.wanted) this.gaps++;
        this.flows = false;
        this.gain = 0;
      }
      if (!this.flows) {
        input[i] = 0;
        continue;
      }
      const bound = Math.min(room, Math.abs(this.place - this.seam)) * slope;
      this.gain = Math.min(this.gain + slope, bound, 1);
      input[i] = this.gain * this.ring[this.place++ % RING];
    }
  }

  report() {
    const message = { played: this.place, flows: this.flows, wanted: this.wanted, gaps: this.gaps };
    this.worker?.postMessage(message);
    this.port.postMessage(message);
  }
}

class Ear extends AudioWorkletProcessor {
  constructor() {
    super();
    this.hears = true;
    this.port.onmessage = () => (this.hears = false);
  }

  process([[input]]) {
    if (input && this.hears) this.port.postMessage(input.slice());
    return this.hears;
  }
}

registerProcessor("player", Player);
registerProcessor("ear", Ear);
