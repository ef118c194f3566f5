// Text of others is text: characters that would act on what is around them are shown by their numbers.

const acting = new RegExp(
  [
    '[\\u0000-\\u001f\\u007f-\\u009f\\u00ad]', // controls and the soft hyphen
    '[\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f]', // direction (bidi), no width, ends of lines
    '[\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb]', // invisible letters and marks
    '[\\u{e0000}-\\u{e0fff}]', // tags
  ].join('|'),
  'gu',
);

// visible returns a value as text that shows all that is in it.
export function visible(value) {
  const text = String(value);
  return text.replace(acting, (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}
