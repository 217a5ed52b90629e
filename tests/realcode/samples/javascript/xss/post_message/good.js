window.addEventListener('message', (event) => {
  if (event.origin !== 'https://shop.example.com') return;
  const banner = document.querySelector('.banner');
  banner.insertAdjacentText('beforeend', event.data.text);
});
