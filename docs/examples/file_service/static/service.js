// The requests to the service. What fails is a Failure, with a message for the user.

const UNREACHABLE = "The service cannot be reached. Check that it is running, and try again.";

export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

// The address of a file or folder: relative, since a proxy may serve us below a path of its own.
export function address(kind, { storage, key }) {
  const parts = [kind, storage, ...key.split("/")];
  return new URL(parts.map(encodeURIComponent).join("/"), document.baseURI).href;
}

export async function getJSON(url, signal) {
  const reply = await request(url, { signal });
  return reply.json();
}

// fetch() cannot tell how much of a body has been sent.
export function upload(place, file, { replace, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("PUT", address("files", place) + (replace ? "?replace=true" : ""));
    if (file.type) sending.setRequestHeader("Content-Type", file.type);
    sending.upload.onprogress = (event) => onProgress(event.loaded, file.size);
    sending.onload = () => {
      if (sending.status < 300) resolve();
      else reject(failureOf(sending.status, sending.responseText));
    };
    sending.onerror = () => reject(new Failure(UNREACHABLE));
    sending.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}

export async function copy(source, target, { replace, signal, onProgress }) {
  const reply = await request(new URL("copies", document.baseURI), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ source, target, replace }),
    signal,
  });
  for await (const { name, data } of events(reply)) {
    if (name === "progress") onProgress(data.object_bytes_done, data.object_bytes_total);
    if (name === "error") throw new Failure(data.detail, data.status);
    if (name === "done") return;
  }
  throw new Failure("The connection broke off, and the copy was cancelled.");
}

async function request(url, options) {
  const reply = await reachable(() => fetch(url, options));
  if (!reply.ok) throw failureOf(reply.status, await reply.text());
  return reply;
}

async function reachable(attempt) {
  try {
    return await attempt();
  } catch (error) {
    throw error instanceof TypeError ? new Failure(UNREACHABLE) : error;
  }
}

// Server-sent events. EventSource sends only GET.
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reachable(() => reader.read());
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function failureOf(status, body) {
  try {
    const { detail } = JSON.parse(body);
    if (typeof detail === "string") return new Failure(detail, status);
  } catch {
    // Not from the service, but from a proxy before it.
  }
  return new Failure(`The service could not carry out the request (status ${status}).`, status);
}
