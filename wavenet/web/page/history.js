// What was made in the last minute, by the places that the Worker and the audio thread count.

import { resampled } from "./resampler.js";

const SECONDS = 62; // a minute, and what is made ahead

export class History {
  constructor(rate) {
    this.rate = rate; // Hz
    this.samples = new Float32Array(SECONDS * rate);
    this.start = this.end = 0; // places
  }

  write(at, samples) {
    for (let i = 0; i < samples.length; i++) this.samples[(at + i) % this.samples.length] = samples[i];
    this.end = at + samples.length;
    this.start = Math.max(this.start, this.end - this.samples.length);
  }

  /** Forgets what was made from here on; what follows may have another rate. */
  cut(at, rate = this.rate) {
    this.end = Math.min(this.end, at);
    if (rate === this.rate) return;
    const before = resampled(this.read(this.start, this.end), this.rate, rate);
    const kept = before.subarray(-Math.min(before.length, at, SECONDS * rate));
    this.rate = rate;
    this.samples = new Float32Array(SECONDS * rate);
    this.start = at - kept.length;
    this.write(this.start, kept);
  }

  /** The samples of places from .. to; silence where there are none. */
  read(from, to, into = new Float32Array(to - from)) {
    for (let i = 0; i < to - from; i++) {
      const place = from + i;
      into[i] = place >= this.start && place < this.end ? this.samples[place % this.samples.length] : 0;
    }
    return into;
  }

  /** At most this many seconds of sound before a place. */
  before(place, seconds) {
    const to = Math.min(place, this.end);
    return this.read(Math.max(this.start, Math.ceil(to - seconds * this.rate)), to);
  }
}
