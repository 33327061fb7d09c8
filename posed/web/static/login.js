// The form that asks for the token, in the reader's language.

import { byId, texts } from "./dom.js";

for (const [id, text] of Object.entries(texts.login)) byId(id).textContent = text;

// Browsers keep the cookie for no frame of another site: the right token leads back to this form, without a word.
const isBack = document.referrer.startsWith(`${location.origin}/`) && !document.querySelector(".problem").textContent;
if (window !== window.top && isBack) byId("framed").hidden = false;
