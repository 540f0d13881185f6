// Upload by button and by drag and drop, with the progress of each file.

import { upload } from "./api.js";
import { fill, h } from "./dom.js";
import { size } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { headline } from "./problems.js";

const AT_ONCE = 2;

/** Why a file cannot be uploaded, or null. */
export function refusal(file, { extensions = [], max_upload_mb: most } = {}) {
  const extension = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : "";
  if (extensions.length && !extensions.includes(extension)) {
    return t("upload.type", { extension: extension ? `.${extension}` : file.name, allowed: extensions.join(", ") });
  }
  if (most && file.size > most * 2 ** 20) return t("upload.size", { size: size(file.size), most });
  return file.size === 0 ? t("upload.empty") : null;
}

/** The box that takes files, its button, and `end()`. `done` is called when a file has arrived; `target` takes drops. */
export function uploads({ stats, write, done, target }) {
  const waiting = [];
  let running = 0;
  const accept = (stats?.extensions ?? []).map((extension) => `.${extension}`).join(",");
  const picker = h("input", {
    type: "file",
    multiple: true,
    accept,
    hidden: true,
    id: "picker",
    onchange: () => {
      take(picker.files);
      picker.value = "";
    },
  });
  const override = h("input", { type: "checkbox", id: "override" });
  const list = h("ul", { class: "uploads", "aria-label": t("uploads") });
  const button = h(
    "button",
    {
      class: "primary",
      type: "button",
      disabled: !write,
      title: write ? null : t("readonly"),
      onclick: () => picker.click(),
    },
    icon("upload"),
    h("span", {}, t("documents.add")),
  );
  const box = h(
    "div",
    { class: write ? "drop" : "drop off" },
    picker,
    icon("upload"),
    h(
      "p",
      {},
      h("strong", {}, t(write ? "upload.drop" : "readonly")),
      write &&
        stats?.max_upload_mb &&
        h("span", { class: "muted small" }, t("upload.limits", { most: stats.max_upload_mb })),
    ),
    write && h("label", { class: "check" }, override, h("span", {}, t("upload.override"))),
  );

  function take(files) {
    for (const file of files) {
      const row = rowOf(file);
      list.prepend(row.element);
      const reason = refusal(file, stats ?? {});
      if (reason) row.failed(reason);
      else waiting.push({ file, row, override: override.checked });
    }
    next();
  }

  async function next() {
    if (running >= AT_ONCE || !waiting.length) return;
    const { file, row, override: over } = waiting.shift();
    running += 1;
    next();
    try {
      await upload(file, { override: over, progress: row.progress });
      row.done();
      done();
    } catch (problem) {
      row.failed(problem.detail || headline(problem));
    } finally {
      running -= 1;
      next();
    }
  }

  const carries = (event) => write && [...(event.dataTransfer?.types ?? [])].includes("Files");
  const over = (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    box.classList.add("over");
  };
  const leave = (event) => {
    if (!target.contains(event.relatedTarget)) box.classList.remove("over");
  };
  const drop = (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    box.classList.remove("over");
    take(event.dataTransfer.files);
  };
  const listeners = { dragover: over, dragleave: leave, drop };
  for (const [type, listener] of Object.entries(listeners)) target.addEventListener(type, listener);
  const end = () => Object.entries(listeners).forEach(([type, listener]) => target.removeEventListener(type, listener));
  return { element: h("div", {}, box, list), button, end };
}

function rowOf(file) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": file.name });
  const state = h("span", { class: "upload-state" }, t("upload.waiting"));
  const dismiss = h(
    "button",
    { class: "quiet round", type: "button", "aria-label": t("close"), hidden: true, onclick: () => element.remove() },
    icon("close"),
  );
  const element = h(
    "li",
    { class: "upload" },
    icon("file"),
    h("span", { class: "upload-name clamped", title: file.name }, file.name),
    dismiss,
    h("span", { class: "upload-line" }, h("span", { class: "upload-size" }, size(file.size)), bar, state),
  );
  const end = (kind, text) => {
    element.classList.add(kind);
    bar.hidden = true;
    dismiss.hidden = false;
    fill(state, icon(kind === "failed" ? "alert" : "check"), text);
  };
  return {
    element,
    progress: (part) => {
      bar.value = part;
      state.textContent = part < 1 ? `${Math.round(part * 100)} %` : t("upload.saving");
    },
    done: () => end("done", t("upload.done")),
    failed: (reason) => end("failed", reason),
  };
}
