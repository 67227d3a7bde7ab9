// Sounds that the network is to continue: from a file, or from the microphone.

import { resampled } from "./resampler.js";

const QUIET = 0.02; // of the peak: what ends below it is cut off, since a network that hears silence continues silence
const MOST = 5; // seconds that the microphone listens

/** The samples of a sound file (ArrayBuffer) at this rate, as one channel. Throws an Error for what is not a sound. */
export async function decoded(bytes, rate) {
  const context = new OfflineAudioContext(1, 1, Math.max(8000, Math.min(rate, 96000))); // rates that all browsers have
  let sound;
  try {
    sound = await context.decodeAudioData(bytes);
  } catch {
    throw new Error("it is neither an exported network nor a sound that this browser can read");
  }
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++)
    sound.getChannelData(channel).forEach((x, i) => (mono[i] += x / sound.numberOfChannels));
  return trimmed(resampled(mono, sound.sampleRate, rate));
}

function trimmed(samples) {
  const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  if (peak < 1e-4) throw new Error("it is silent");
  let end = samples.length;
  while (Math.abs(samples[end - 1]) < QUIET * peak) end--;
  return samples.slice(0, end);
}

export class Microphone {
  /** What is heard until `stop`, or for MOST seconds, at this rate. context: a running AudioContext. */
  async listen(context, rate) {
    this.listening = true;
    try {
      return await this.hear(context, rate);
    } finally {
      this.listening = false;
    }
  }

  stop() {
    this.end?.();
  }

  async hear(context, rate) {
    const session = navigator.audioSession;
    if (session) session.type = "play-and-record";
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false },
    });
    const ear = new AudioWorkletNode(context, "ear", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    const source = context.createMediaStreamSource(stream);
    source.connect(ear);
    const heard = new Float32Array(MOST * context.sampleRate);
    let count = 0;
    await new Promise((end) => {
      this.end = end;
      ear.port.onmessage = ({ data }) => {
        const part = data.subarray(0, heard.length - count);
        heard.set(part, count);
        count += part.length;
        if (count === heard.length) end();
      };
    });
    ear.port.postMessage("end");
    ear.port.onmessage = null;
    source.disconnect();
    stream.getTracks().forEach((track) => track.stop());
    if (session) session.type = "playback";
    return trimmed(resampled(heard.subarray(0, count), context.sampleRate, rate));
  }
}
