// The Worker that makes sound, the audio thread that plays it, and the line between them: a MessageChannel that does
// not pass through the page, so that a busy or hidden page does not interrupt the sound.

export class Sound {
  /** heard: an object of functions that take the messages, and failed(text) and interrupted(). */
  constructor(heard) {
    this.heard = heard;
    this.rate = 16000; // Hz, of the network
    this.volume = 1;
    this.wanted = false; // whether the listener wants to hear it
    this.held = false; // whether the context is needed while it is quiet
    this.played = 0; // places
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = ({ message }) => heard.failed(`The engine stopped: ${message || "worker.js did not load"}.`);
    this.tell("engine", { beside: import.meta.url });
    this.connect();
  }

  tell(type, values = {}, moved = []) {
    this.worker.postMessage({ type, ...values }, moved);
  }

  /** A new line to an audio thread that is still to come; what is made meanwhile waits in it. */
  connect() {
    const { port1, port2 } = new MessageChannel();
    this.port = port2;
    this.tell("audio", { port: port1 }, [port1]);
  }

  receive(data) {
    const { heard } = this;
    if (data.samples) heard.made(data);
    else if (data.cut !== undefined) heard.cut(data);
    else if (data.speed) heard.speed(data);
    else if (data.refused !== undefined) heard.refused(data);
    else if (data.voice !== undefined) {
      this.rate = data.rate;
      heard.voice(data);
    }
  }

  /** Call it in a click or a key: a browser lets no page make sound by itself. */
  async play() {
    this.wanted = true;
    if (["closed", "interrupted"].includes(this.context?.state)) this.close();
    await this.awake();
    this.node.port.postMessage({ play: this.wanted });
  }

  /** The sound fades out; then the context rests. */
  pause() {
    this.wanted = false;
    this.node?.port.postMessage({ play: false });
  }

  set loudness(volume) {
    this.volume = volume;
    if (this.gain) this.gain.gain.setTargetAtTime(volume, this.context.currentTime, 0.01);
  }

  /** A running AudioContext, at the device's own rate: the audio thread resamples, so voices of any rate can follow. */
  async awake() {
    if (!this.context) this.open();
    await Promise.all([this.context.resume(), this.ready]);
    return this.context;
  }

  open() {
    if (!globalThis.AudioWorkletNode) throw new Error(INSECURE);
    if (navigator.audioSession) navigator.audioSession.type = "playback"; // a phone's mute switch is for calls
    const context = (this.context = new AudioContext());
    context.onstatechange = () => context.state === "interrupted" && this.heard.interrupted(); // by a call, on a phone
    this.gain = new GainNode(context, { gain: this.volume });
    this.gain.connect(context.destination);
    this.ready = context.audioWorklet.addModule(new URL("worklet.js", import.meta.url)).then(() => {
      const processorOptions = { rate: this.rate, place: this.played };
      const options = { numberOfInputs: 0, outputChannelCount: [1], processorOptions };
      this.node = new AudioWorkletNode(context, "player", options);
      this.node.port.postMessage({ port: this.port }, [this.port]);
      this.node.port.onmessage = ({ data }) => this.report(data);
      this.node.connect(this.gain);
    });
  }

  close() {
    this.context.close().catch(() => {}); // it may be closed already
    this.context = this.node = undefined;
    this.connect();
  }

  report(data) {
    this.played = data.played;
    const rests = !data.flows && !data.wanted && !this.wanted && !this.held;
    if (rests && this.context?.state === "running") this.context.suspend();
    this.heard.played(data);
  }
}

const INSECURE = "A browser plays this only from a secure address: open the page by https, or on localhost.";
