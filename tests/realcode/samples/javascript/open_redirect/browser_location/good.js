const params = new URLSearchParams(window.location.search);
const PAGES = { cart: '/cart', account: '/account' };
const target = PAGES[params.get('return')] || '/';

document.querySelector('#back').addEventListener('click', () => {
  window.location.href = target;
});
