// The data of the page, unpacked: the list of structures, and the bytes of their geometries.
"use strict";
let data = null;

async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function readListing() {
  data = JSON.parse(new TextDecoder().decode(await unpacked("listing")));
  data.length = data.number.length;
}

const nameOf = (row) => data.name[row] || data.source[row];
const sentenceOf = (row) => data.sentences[data.told[row]];
