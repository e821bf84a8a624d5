// A page that was opened from the disk may not start a worker, and the search of the site runs in one. A hidden frame
// takes its place: its window has what the worker's own scope would have. Material's plugin `offline` asks for a file
// of this name.
"use strict";

class FrameWorker extends EventTarget {
  constructor(address) {
    super();
    // A worker finds other scripts from its own place, a frame from that of the page.
    this.address = new URL(address, location.href);
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.append(this.frame);
    this.scope = this.frame.contentWindow;
    // A document that was written stays; the empty one of a new frame is replaced in some browsers.
    this.scope.document.write("<!doctype html><body></body>");
    this.scope.document.close();
    this.scope.postMessage = (data) => this.tell(new MessageEvent("message", { data: structuredClone(data) }));
    this.scope.importScripts = async (...addresses) => {
      for (const each of addresses) await this.load(new URL(each, this.address));
    };
    this.scope.addEventListener("error", ({ message, error }) => this.tell(new ErrorEvent("error", { message, error })));
    this.loaded = this.load(this.address);
    this.loaded.catch(({ message }) => this.tell(new ErrorEvent("error", { message })));
  }

  // Runs a script in the frame; scripts that are asked for together run in their order.
  load(address) {
    const script = this.scope.document.createElement("script");
    return new Promise((resolve, reject) => {
      script.onload = () => resolve();
      script.onerror = () => reject(new Error(`${address} was not loaded`));
      script.src = address;
      this.scope.document.body.append(script);
    });
  }

  // Messages arrive later than the call that sends them, as they do from a worker.
  tell(event) {
    setTimeout(() => {
      this.dispatchEvent(event);
      this[`on${event.type}`]?.(event);
    });
  }

  postMessage(data) {
    const event = new MessageEvent("message", { data: structuredClone(data) });
    this.loaded.then(() => this.scope.dispatchEvent(event), () => {});
  }

  terminate() {
    this.frame.remove();
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker;
