import CryptoJS from 'crypto-js';

export function license(serial) {
  return CryptoJS.MD5(serial).toString();
}
