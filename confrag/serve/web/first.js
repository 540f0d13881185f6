// Runs before anything is drawn, so that a dark page does not flash white. Kept apart from the modules, which come later.
(() => {
  let theme = "system";
  try {
    theme = JSON.parse(localStorage.getItem("confrag.theme")) ?? "system";
  } catch {
    // Storage may be switched off; the system's theme it is.
  }
  const dark = theme === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
