// Elements and texts. Names of files are always text, never HTML.

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function sizeText(bytes) {
  if (bytes < 0) return "–";
  const unit = Math.min(Math.floor(Math.log2(bytes || 1) / 10), UNITS.length - 1);
  const number = bytes / 1024 ** unit;
  return `${number.toLocaleString(undefined, { maximumFractionDigits: unit ? 1 : 0 })} ${UNITS[unit]}`;
}

export function dateText(iso) {
  return iso ? new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–";
}
