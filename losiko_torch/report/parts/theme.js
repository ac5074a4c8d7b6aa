// Light or dark: as the system has it, until the switch says otherwise.
"use strict";
const theme = (() => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  let chosen = null;
  try {
    chosen = localStorage.getItem("losiko-theme");
  } catch {
    // A page from a file may have no storage.
  }
  const isDark = () => (chosen ? chosen === "dark" : dark.matches);
  function apply() {
    root.dataset.theme = isDark() ? "dark" : "light";
    listeners.forEach((call) => call());
  }
  function toggle() {
    const wanted = isDark() ? "light" : "dark";
    // What the system has, too, needs no choice: the page follows the system again.
    chosen = (wanted === "dark") === dark.matches ? null : wanted;
    try {
      if (chosen) localStorage.setItem("losiko-theme", chosen);
      else localStorage.removeItem("losiko-theme");
    } catch {
      // The choice lasts as long as the page, then.
    }
    apply();
  }
  dark.addEventListener("change", apply);
  apply();
  return { isDark, toggle, onChange: (call) => listeners.push(call) };
})();
