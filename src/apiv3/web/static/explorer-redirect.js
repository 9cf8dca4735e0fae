// The page to which the authorization endpoint sends the window that the interactive page has opened: hands the answer over.
"use strict";

if (window.opener) {
  window.opener.postMessage({ answer: window.location.search }, window.location.origin);
  window.close();
}
