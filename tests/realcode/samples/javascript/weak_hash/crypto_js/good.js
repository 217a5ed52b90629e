import CryptoJS from 'crypto-js';

export function license(serial) {
  return CryptoJS.SHA256(serial).toString();
}
