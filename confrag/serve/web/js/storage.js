// What the browser keeps. Storage may be full or switched off: the page works without, it forgets.

/** The value of a key, or `otherwise`. */
export function kept(key, otherwise, area = ofBrowser()) {
  try {
    return JSON.parse(area.getItem(`confrag.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a value; null forgets it. Returns whether there was room. */
export function keep(key, value, area = ofBrowser()) {
  try {
    if (value === null) area.removeItem(`confrag.${key}`);
    else area.setItem(`confrag.${key}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** The storage of this tab, gone when it is closed. */
export function ofTab() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

function ofBrowser() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}
