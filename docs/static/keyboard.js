// What scrolls can be reached by the keyboard, and the two columns beside the text have names.
document.addEventListener("DOMContentLoaded", () => {
  for (const each of document.querySelectorAll(".highlight pre, .table-wrapper, div.math"))
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "All pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
});
