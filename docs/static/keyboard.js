// What scrolls can be reached by the keyboard, the columns beside the text have names, and the page
// of the search has a heading.
document.addEventListener("DOMContentLoaded", () => {
  for (const each of document.querySelectorAll(".highlight pre, .table-wrapper, div.math"))
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "All pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
  if (!document.querySelector("h1")) {
    const heading = document.createElement("h1");
    heading.textContent = document.title.split(" - ")[0];
    document.querySelector("article, [role=main]")?.prepend(heading);
  }
});
