window.addEventListener('message', (event) => {
  const banner = document.querySelector('.banner');
  banner.insertAdjacentHTML('beforeend', event.data.text);
});
