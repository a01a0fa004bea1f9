// The page: which folder is shown, and what can be done with its files. The part of the address after # says which folder:
// #STORAGE/FOLDER/, so that links, reloads and the buttons of the browser work.

import { dateText, element, sizeText } from "./elements.js";
import { Failure, address, copy, getJSON, upload } from "./service.js";
import { transfer } from "./transfers.js";

const at = (id) => document.getElementById(id);
let storages = [];
let maxSize = 0;
let here = { storage: "", key: "" };
let listing = new AbortController();
let uploads = Promise.resolve();

// What is shown

const link = ({ storage, key }) => "#" + [storage, ...key.split("/")].map(encodeURIComponent).join("/");

function placeOfAddress() {
  try {
    const [storage, ...key] = location.hash.slice(1).split("/").map(decodeURIComponent);
    // A folder ends in a slash, also if somebody typed it without one.
    if (storage) return { storage, key: key.join("/").replace(/[^/]$/, "$&/") };
  } catch {
    // Not percent-encoded as we do it.
  }
  return { storage: storages[0].name, key: "" };
}

async function show() {
  here = placeOfAddress();
  showPath();
  at("entries").replaceChildren();
  await list();
}

function showPath() {
  at("storages").replaceChildren(
    ...storages.map(({ name, uri }) => {
      const anchor = element("a", { href: link({ storage: name, key: "" }) }, uri);
      if (name === here.storage) anchor.ariaCurrent = "true";
      return element("li", {}, anchor);
    }),
  );
  const names = here.key.split("/").slice(0, -1);
  const steps = ["Top", ...names].map((name, depth) => {
    const key = names.slice(0, depth).map((above) => above + "/").join("");
    const anchor = element("a", { href: link({ storage: here.storage, key }) }, name || "/");
    if (depth === names.length) anchor.ariaCurrent = "page";
    return element("li", {}, anchor);
  });
  at("path").replaceChildren(...steps);
  document.title = `${names.at(-1) ?? here.storage} – Files`;
}

// Lists the folder from the start, or goes on after a page.
async function list(token = null) {
  listing.abort();
  listing = new AbortController();
  const { signal } = listing;
  const url = address("folders", here) + (token ? `?token=${encodeURIComponent(token)}` : "");
  try {
    const { folders, files, more } = await getJSON(url, signal);
    const rows = [...folders.map(folderRow), ...files.map(fileRow)];
    if (token) at("entries").append(...rows);
    else at("entries").replaceChildren(...rows);
    at("empty").hidden = at("entries").childElementCount > 0 || more !== null;
    at("more").hidden = more === null;
    at("more").onclick = () => list(more);
    at("failure").textContent = "";
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

function fail(error) {
  at("empty").hidden = at("more").hidden = true;
  at("failure").textContent = error.message;
}

const nameOf = (key) => key.slice(here.key.length) || key;

function folderRow(key) {
  const anchor = element("a", { href: link({ storage: here.storage, key }) }, nameOf(key));
  const name = element("td", { className: "name" }, anchor);
  return element("tr", { className: "folder" }, name, element("td"), element("td", { className: "date" }), element("td"));
}

function fileRow({ key, size, modified }) {
  const place = { storage: here.storage, key };
  const name = nameOf(key);
  const anchor = element("a", { href: address("files", place), download: "" }, name);
  const actions = [button("Share", name, () => askToShare(place))];
  if (storages.length > 1) actions.push(button("Copy", name, () => askToCopy(place)));
  const row = element(
    "tr",
    { className: "file" },
    element("td", { className: "name" }, anchor),
    element("td", { className: "number" }, sizeText(size)),
    element("td", { className: "date" }, dateText(modified)),
    element("td", { className: "actions" }, ...actions),
  );
  row.dataset.key = key;
  return row;
}

function button(label, name, onclick) {
  return element("button", { type: "button", ariaLabel: `${label} ${name}`, onclick }, label);
}

// Uploads: one after the other, so that the rest of the page has connections left.

function uploadFiles(files) {
  for (const file of files) {
    const place = { storage: here.storage, key: here.key + file.name };
    transfer(file.name, (options) => {
      const turn = uploads.then(() => uploadFile(place, file, options));
      uploads = turn.catch(() => {});
      return turn;
    });
  }
}

async function uploadFile(place, file, options) {
  options.signal.throwIfAborted();
  if (file.size > maxSize) throw new Failure(`Too large: the service takes files of up to ${sizeText(maxSize)}.`);
  // The service refuses it, too, but first takes all of its bytes.
  if (!options.replace && isShown(place)) throw new Failure("A file of this name is there already.", 409);
  await upload(place, file, options);
  await refresh(place);
}

const isShown = ({ storage, key }) =>
  storage === here.storage && [...at("entries").rows].some((row) => row.dataset.key === key);

async function refresh({ storage, key }) {
  if (storage === here.storage && key.startsWith(here.key)) await list();
}

at("chosen").onchange = (event) => {
  uploadFiles([...event.target.files]);
  event.target.value = "";
};

document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.toggle("dropping", event.dataTransfer.types.includes("Files"));
};
document.ondragleave = (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
};
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
  const items = [...event.dataTransfer.items];
  at("failure").textContent = items.some(isFolder) ? "Folders cannot be uploaded: drop the files in them." : "";
  uploadFiles(items.filter((item) => item.kind === "file" && !isFolder(item)).map((item) => item.getAsFile()));
};

// Dialogs

function open(dialog, name, onclose) {
  dialog.querySelector(".what").textContent = name;
  dialog.querySelector(".close").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.onclose = onclose;
  dialog.showModal();
}

function askToCopy(source) {
  const others = storages.filter(({ name }) => name !== source.storage);
  at("copy-storage").replaceChildren(...others.map(({ name, uri }) => element("option", { value: name }, uri)));
  at("copy-key").value = source.key;
  open(at("copy"), source.key, () => {
    if (at("copy").returnValue !== "copy") return;
    const target = { storage: at("copy-storage").value, key: at("copy-key").value };
    transfer(`${source.key} to ${at("copy-storage").selectedOptions[0].text}`, async (options) => {
      await copy(source, target, options);
      await refresh(target);
    });
  });
}

function askToShare(place) {
  const { signs } = storages.find(({ name }) => name === place.storage);
  at("share-link").value = address("share", place);
  at("share-note").textContent = signs
    ? "For everyone who can reach this service. It leads to the provider, with a signature that is made anew each time."
    : "For everyone who can reach this service, which sends the file itself: the provider does not sign links.";
  at("share-copy").onclick = async () => {
    at("share-link").select();
    try {
      await navigator.clipboard.writeText(at("share-link").value);
      at("share-note").textContent = "Copied.";
    } catch {
      at("share-note").textContent = "The browser does not allow it: copy the selected link with the keyboard.";
    }
  };
  open(at("share"), nameOf(place.key), null);
  at("share-link").select();
}

// Start

async function start() {
  try {
    ({ storages, max_size: maxSize } = await getJSON(new URL("storages", document.baseURI)));
  } catch (error) {
    return fail(error);
  }
  at("limit").textContent = `Up to ${sizeText(maxSize)} each.`;
  window.onhashchange = async () => {
    await show();
    // The link that was followed is gone.
    at("path").lastElementChild.firstElementChild.focus();
  };
  await show();
}

start();
