// What scrolls can be reached by the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  for (const each of document.querySelectorAll(".highlight pre, .table-wrapper, div.math"))
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
});
