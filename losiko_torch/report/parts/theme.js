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
    chosen = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("losiko-theme", chosen);
    } catch {
      // The choice lasts as long as the page, then.
    }
    apply();
  }
  dark.addEventListener("change", apply);
  apply();
  return { isDark, toggle, onChange: (call) => listeners.push(call) };
})();
