const params = new URLSearchParams(window.location.search);
const target = params.get('return');

document.querySelector('#back').addEventListener('click', () => {
  window.location.href = target;
});
