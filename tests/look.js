// What a person can see and reach of a page; CONTRAST is the least that text needs.
(() => {
  const channels = text => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(each).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const low = [];
  let least = 99;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.getClientRects().length) continue;
    if (["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const [one, two] = [light(channels(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (two + 0.05);
    least = Math.min(least, contrast);
    if (contrast < CONTRAST) low.push(`${element.tagName} ${contrast.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return {
    least, low: low.slice(0, 5),
    wide: document.documentElement.scrollWidth - window.innerWidth,
    broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.src.slice(0, 99)),
    silent: [...document.images].filter(image => image.alt.trim().length < 20).length,
    images: document.images.length,
    unreached: [...document.querySelectorAll("*")].filter(each => each.scrollWidth > each.clientWidth + 1
      && ["auto", "scroll"].includes(getComputedStyle(each).overflowX) && each.tabIndex < 0).length,
    unnamed: [...document.querySelectorAll("button, a, [role=region], table, nav, section")].filter(each =>
      !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby") || each.textContent.trim())).length,
  };
})()
