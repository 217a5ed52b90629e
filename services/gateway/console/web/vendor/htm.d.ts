// Templates with tags in them; a page is typed by what it puts into them, not by their text.
declare const htm: {
  bind(h: Function): (strings: TemplateStringsArray, ...values: any[]) => any;
};
export default htm;
